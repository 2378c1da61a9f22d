//! When consumers and the relay had come how far: bounded, and cheap enough to be written beside everything else.

use std::time::Duration;

use cornjacket_domain::Timestamp;

use crate::offsets::ConsumerPartition;

/// How long a milestone is kept at least; longer where no later one takes its slot.
pub const KEPT: Duration = Duration::from_hours(1);
/// Milestones of a consumer's partition within this time become one.
pub(crate) const OF_CONSUMERS: Duration = Duration::from_secs(1);
/// Milestones of the relay within this time become one.
pub(crate) const OF_THE_RELAY: Duration = Duration::from_millis(250);

/// Some effects of a consumer, and when they were in. It stands alone: whatever other milestones are lost, it is true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Milestone {
    /// Whose, and where.
    pub at: ConsumerPartition,
    /// The events after this position,
    pub after: u64,
    /// up to this one,
    pub last_position: u64,
    /// were in by then.
    pub reached_at: Timestamp,
}

/// The slot of a time, of as many as there are in [`KEPT`]: times of one slot are less than `width` apart, or at least
/// [`KEPT`] less `width`.
#[allow(clippy::cast_possible_truncation, reason = "there are fewer slots than an i32 holds")]
pub(crate) const fn slot(time: Timestamp, width: Duration) -> i32 {
    let width = width.as_micros() as i64;
    let slots = KEPT.as_micros() as i64 / width;
    time.as_micros().div_euclid(width).rem_euclid(slots) as i32
}
