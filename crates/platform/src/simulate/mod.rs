//! Sending what a simulation makes up, at the pace that was asked for.
//!
//! [`Feed`] takes events from the simulation when they are due, [`Sender`] has each batch taken by the server, and
//! [`Tally`] keeps what became of it. A batch holds what has become due while the one before it was under way: a slow
//! pace sends events one by one, a fast one fills batches. One batch at a time, so that the log has the simulation's order.

mod feed;
mod sender;
mod tally;

use std::time::Duration;

use indicatif::ProgressBar;
use tokio::time::Instant;

pub use feed::{Feed, Pace};
pub use sender::Sender;
pub use tally::Tally;

use crate::shutdown::Signals;

/// How long the batch under way may take once a signal has come.
const GRACE: Duration = Duration::from_secs(2);

/// Sends until the feed is empty or a signal comes. The tally holds in any case, also beside an error.
pub async fn run(
    mut feed: Feed,
    sender: &Sender,
    bar: &ProgressBar,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let started = Instant::now();
    let outcome = loop {
        let batch = tokio::select! {
            biased;
            () = signals.next() => break Ok(()),
            batch = feed.next() => batch,
        };
        let Some(batch) = batch else { break Ok(()) };
        tally.sent(&batch);
        let mut stopping = false;
        let events = batch.into_iter().map(|sent| sent.event).collect();
        let sent = tokio::select! {
            sent = sender.send(events, bar) => sent,
            () = async { signals.next().await; stopping = true; tokio::time::sleep(GRACE).await } => break Ok(()),
        };
        match sent {
            Ok(outcomes) => tally.answered(&outcomes),
            Err(error) => break Err(error),
        }
        tally.took = started.elapsed();
        bar.set_position(tally.answers());
        bar.set_message(tally.brief());
        if stopping {
            break Ok(());
        }
    };
    bar.finish_and_clear();
    outcome.and_then(|()| tally.check())
}
