//! Doors: the ways in of this process say that they are open, so that nobody is called silent whom we could not hear.

use std::sync::Arc;

use cornjacket_inference::vigil::TICK;
use cornjacket_store::Doors;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

/// Names a door of this machine: the same after a restart.
pub fn here(door: &str) -> String {
    let machine = rustix::system::uname();
    format!("{} {door}", machine.nodename().to_string_lossy())
}

/// Says that a door is open, as long as it is, until `stop`.
pub async fn keep(
    doors: Arc<dyn Doors>,
    kind: &'static str,
    name: String,
    is_open: impl Fn() -> bool,
    stop: CancellationToken,
) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_heard = true;
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        if !is_open() {
            continue;
        }
        let said = timeout(TICK, doors.open(kind, &name)).await;
        let is_heard = matches!(said, Ok(Ok(())));
        // Nobody is called silent meanwhile. Once is enough to say so.
        if was_heard && !is_heard {
            tracing::warn!(door = name, ?said, "the store does not hear that this door is open");
        }
        was_heard = is_heard;
    }
}
