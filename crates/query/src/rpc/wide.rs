//! Wide questions: one at a time, and not all of the time.
//!
//! A question that reads much takes a processor and the database for as long as it lasts, and its caller asks the next one
//! at once. Whoever writes would be left with what remains. So the wide questions of a process, whatever their kind, take
//! turns, and while events come in they rest after each part for longer than it took. A turn begins when what the question
//! waits for is there: waiting is no work, and keeps nobody else waiting.

use std::sync::Arc;
use std::time::Duration;

use cornjacket_proto::status::{ErrorKind, Failure};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, timeout_at};

use super::deadline::WAY_BACK;

/// For how many times as long as the part before a question rests.
const REST: u32 = 4;
/// But not for longer: a transaction is open meanwhile, which the database would end.
const LONGEST_REST: Duration = Duration::from_secs(1);
/// Events a second from which on it does.
const BUSY: f64 = 500.0;

/// Whose turn it is.
#[derive(Debug)]
pub struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

/// The turn of one question, until it is dropped; the next one begins when it has rested.
#[derive(Debug)]
pub(crate) struct Turn {
    permit: Option<OwnedSemaphorePermit>,
    stored: watch::Receiver<u64>,
    /// When this part began, and where the log was; nothing while it rests.
    began: Option<(Instant, u64)>,
}

impl Turns {
    /// Waits for a turn, as long as the caller does. `stored` is where the log is.
    pub(crate) async fn next(
        &self,
        deadline: Instant,
        stored: watch::Receiver<u64>,
    ) -> Result<Turn, Failure> {
        let turn = timeout_at(deadline - WAY_BACK, self.0.clone().acquire_owned()).await;
        let permit = turn.ok().and_then(Result::ok).ok_or_else(|| {
            let message = "other questions that read as much are still being answered";
            Failure::new(ErrorKind::Unavailable, message)
                .with_reason("BUSY", [])
                .with_retry_after(Duration::from_secs(1))
        })?;
        let began = Some((Instant::now(), *stored.borrow()));
        Ok(Turn { permit: Some(permit), stored, began })
    }
}

impl Turn {
    /// Begins the next part, after a rest from the one before.
    pub async fn next_part(&mut self) {
        let rest = self.due();
        self.began = None;
        sleep(rest).await;
        self.began = Some((Instant::now(), *self.stored.borrow()));
    }

    /// How long to rest from this part.
    fn due(&self) -> Duration {
        let Some((began, from)) = self.began else { return Duration::ZERO };
        let (took, stored) = (began.elapsed(), self.stored.borrow().saturating_sub(from));
        #[allow(clippy::cast_precision_loss, reason = "a rate")]
        let is_busy = stored as f64 > BUSY * took.as_secs_f64();
        if is_busy { (took * REST).min(LONGEST_REST) } else { Duration::ZERO }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let (rest, permit) = (self.due(), self.permit.take());
        if !rest.is_zero() {
            tokio::spawn(async move {
                sleep(rest).await;
                drop(permit);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(10);
    const PART: Duration = Duration::from_millis(100);

    /// How long the next one waits after one that lasted for a part, in which so many events were stored.
    async fn waits_after(events: u64) -> Duration {
        let (turns, store) = (Turns::default(), watch::Sender::new(7));
        let turn = turns.next(Instant::now() + DEADLINE, store.subscribe()).await.expect("nobody is there");
        sleep(PART).await;
        store.send_modify(|position| *position += events);
        drop(turn);
        let dropped = Instant::now();
        turns.next(Instant::now() + DEADLINE, store.subscribe()).await.expect("in time");
        dropped.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_one_waits_only_while_events_come_in() {
        assert_eq!(waits_after(10).await, Duration::ZERO);
        assert!((4 * PART..5 * PART).contains(&waits_after(100).await));
    }

    #[tokio::test(start_paused = true)]
    async fn between_parts_it_rests_and_keeps_its_turn() {
        let (turns, store) = (Turns::default(), watch::Sender::new(7));
        let mut turn =
            turns.next(Instant::now() + DEADLINE, store.subscribe()).await.expect("nobody is there");
        for (parts, events, rest) in [(1, 100, 4 * PART), (1, 0, Duration::ZERO), (10, 10_000, LONGEST_REST)]
        {
            sleep(PART * parts).await;
            store.send_modify(|position| *position += events);
            let began = Instant::now();
            turn.next_part().await;
            assert_eq!(began.elapsed().as_millis(), rest.as_millis());
        }
        let refused = turns.next(Instant::now() + DEADLINE, store.subscribe()).await.expect_err("taken");
        assert_eq!(refused.kind(), ErrorKind::Unavailable);
    }
}
