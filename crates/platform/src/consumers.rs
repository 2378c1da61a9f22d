//! The consumers of the bus that a process may run, and how much of the store they need.

use cornjacket_actions::dispatcher;
use cornjacket_bus::consumer::SIDE_BY_SIDE;
use cornjacket_inference::{feedback, processor, remote};
use cornjacket_query::projections;

/// Those that make no projection.
const OTHERS: [&str; 4] = [processor::NAME, remote::NAME, feedback::NAME, dispatcher::NAME];

/// Whether it is one of them. What is not among them must not run: the store would have no connections for it.
pub fn is_known(name: &str) -> bool {
    OTHERS.contains(&name) || projections::by_name(name).is_some()
}

/// Transactions that all of them have open at once, at the most.
pub fn transactions() -> u32 {
    u32::try_from((projections::ALL.len() + OTHERS.len()) * SIDE_BY_SIDE).unwrap_or(u32::MAX)
}
