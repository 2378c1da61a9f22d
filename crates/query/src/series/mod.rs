//! Time series by buckets: where buckets begin, what is in them, and what fills the gaps.

mod aggregate;
mod calendar;

pub(crate) use aggregate::{Aggregates, Content, fill};
pub(crate) use calendar::{Calendar, NoCalendar};
