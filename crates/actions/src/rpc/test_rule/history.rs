//! A part of the log, read for a test: page by page, within bounds of events, bytes and time.

use std::sync::Arc;
use std::time::Duration;

use cornjacket_bus::Delivered;
use cornjacket_domain::{StoredEvent, Timestamp};
use cornjacket_proto::actions::test_rule_request::History;
use cornjacket_proto::status::{ErrorKind, Failure};
use cornjacket_store::{Range, Select, Snapshots, StoreError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};

use super::super::store_failed;
use super::delivered;

/// Events of one test, and their bytes: alarms are remembered with their events.
pub(super) const MOST_EVENTS: u64 = 100_000;
const MOST_BYTES: usize = 64 << 20;
/// Events that are read at once: 50 MiB, if each is as large as may be.
const PAGE: u32 = 200;
/// Events between two pauses, in which others have a turn: conditions may take long.
const WITHOUT_PAUSE: usize = 32;

/// Tests over history take turns: one at a time in a process.
#[derive(Clone, Debug)]
pub struct TestTurns(Arc<Semaphore>);

impl Default for TestTurns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl TestTurns {
    /// Waits for a turn, as long as the caller does.
    pub(super) async fn next(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, Failure> {
        let turn = timeout_at(deadline, self.0.clone().acquire_owned()).await;
        turn.ok().and_then(Result::ok).ok_or_else(|| {
            Failure::new(ErrorKind::Unavailable, "another rule is still being tested")
                .with_reason("BUSY", [])
                .with_retry_after(Duration::from_secs(1))
        })
    }
}

/// What is read, and for how long.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    /// Where it is.
    pub snapshots: &'a dyn Snapshots,
    /// What of it is wanted.
    pub select: Select,
    /// So many events, at the most.
    pub most: u64,
    /// And until then.
    pub deadline: Instant,
}

impl Reading<'_> {
    /// Reads on until all was read or a bound is reached: the position behind which to go on, 0 when there is nothing more.
    /// However little time there is, one event is read: whoever goes on comes to the end.
    pub async fn run(
        &self,
        history: &History,
        mut each: impl FnMut(&Delivered) + Send,
    ) -> Result<u64, Failure> {
        let (mut after, until) = self.bounds(history).await?;
        let (mut events, mut bytes) = (0, 0);
        while after < until {
            let page = match self.page(after, until).await {
                Ok(page) => page,
                Err(StoreError::Deadline(_) | StoreError::Silent(_)) if events > 0 => return Ok(after),
                Err(error) => return Err(store_failed(&error)),
            };
            for (index, stored) in page.iter().enumerate() {
                if index % WITHOUT_PAUSE == WITHOUT_PAUSE - 1 {
                    yield_now().await;
                }
                let is_over = events == self.most || bytes >= MOST_BYTES || Instant::now() >= self.deadline;
                if events > 0 && is_over {
                    return Ok(after);
                }
                each(&delivered(stored)?);
                after = stored.position;
                events += 1;
                bytes += stored.encoded.len();
            }
            if page.len() < PAGE as usize {
                break;
            }
        }
        Ok(0)
    }

    /// The position before the first that is read, and the last one.
    async fn bounds(&self, history: &History) -> Result<(u64, u64), Failure> {
        let start = time("history.start_time", history.start_time.as_ref())?;
        let end = time("history.end_time", history.end_time.as_ref())?;
        let found = within(self.deadline, async {
            let mut snapshot = self.snapshots.begin(left(self.deadline)).await?;
            let after = match start {
                Some(start) => snapshot.position_before(start).await?,
                None => 0,
            };
            let until = match end {
                Some(end) => snapshot.position_before(end).await?,
                None => snapshot.head().await?.position,
            };
            Ok((after.max(history.after_position), until))
        });
        found.await.map_err(|error| store_failed(&error))
    }

    /// The next events. Each page has a snapshot of its own: the log only grows, and no transaction stays open for long.
    async fn page(&self, after: u64, until: u64) -> Result<Vec<StoredEvent>, StoreError> {
        let range = Range { after, until, select: self.select.clone(), descending: false, limit: PAGE };
        within(self.deadline, async { self.snapshots.begin(left(self.deadline)).await?.read(&range).await })
            .await
    }
}

/// What the store says before the deadline.
async fn within<T>(
    deadline: Instant,
    asked: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let time = left(deadline);
    timeout_at(deadline, asked).await.map_err(|_| StoreError::Silent(time))?
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

fn time(field: &str, time: Option<&prost_types::Timestamp>) -> Result<Option<Timestamp>, Failure> {
    let read = |time| {
        Timestamp::from_proto(time).ok_or_else(|| Failure::invalid(field, "is out of range", "OUT_OF_RANGE"))
    };
    time.map(read).transpose()
}

#[cfg(test)]
mod tests {
    use cornjacket_domain::{Event, Limits};
    use cornjacket_proto::events as proto;

    use super::*;
    use crate::deliverer::laws::bed::Bed;
    use crate::deliverer::laws::laws;

    laws!(whoever_goes_on_reads_each_event_once, whoever_has_no_time_comes_on_all_the_same);

    const EVENTS: u64 = 1_200;

    /// A log of two types in turn.
    async fn filled(bed: &Bed) -> anyhow::Result<()> {
        let event = |number: u64| {
            let event = proto::Event {
                id: number.to_string(),
                source: "plant".into(),
                r#type: if number.is_multiple_of(2) { "a.even" } else { "a.odd" }.into(),
                subject: "pump-7".into(),
                ..proto::Event::default()
            };
            Event::new(event, bed.now(), &Limits::default()).expect("a good event")
        };
        bed.store.log.append(&(0..EVENTS).map(event).collect::<Vec<_>>()).await?;
        Ok(())
    }

    /// Goes on until there is nothing more: how many events each call read, and all of their positions.
    async fn all(
        bed: &Bed,
        select: Select,
        most: u64,
        time: Duration,
    ) -> anyhow::Result<(Vec<u64>, Vec<u64>)> {
        let (mut counts, mut positions, mut after_position) = (Vec::new(), Vec::new(), 0);
        loop {
            let deadline = Instant::now() + time;
            let reading =
                Reading { snapshots: bed.store.snapshots.as_ref(), select: select.clone(), most, deadline };
            let (history, mut count) = (History { after_position, ..History::default() }, 0);
            let each = |event: &Delivered| {
                count += 1;
                positions.push(event.event.position);
            };
            after_position = reading.run(&history, each).await?;
            counts.push(count);
            if after_position == 0 {
                return Ok((counts, positions));
            }
        }
    }

    async fn whoever_goes_on_reads_each_event_once(bed: Bed) -> anyhow::Result<()> {
        filled(&bed).await?;
        let minute = Duration::from_mins(1);
        let everything: Vec<u64> = (1..=EVENTS).collect();
        assert_eq!(all(&bed, Select::all(), 2_000, minute).await?, (vec![EVENTS], everything.clone()));
        assert_eq!(all(&bed, Select::all(), EVENTS, minute).await?, (vec![EVENTS], everything.clone()));
        assert_eq!(all(&bed, Select::all(), 700, minute).await?, (vec![700, 500], everything));
        let odd = Select { event_type: Some("a.odd".into()), ..Select::all() };
        let (counts, positions) = all(&bed, odd, 250, minute).await?;
        assert_eq!(counts, [250, 250, 100]);
        assert!(positions.into_iter().eq((2..=EVENTS).step_by(2)));
        Ok(())
    }

    /// Each call has time to read some of a page and no more.
    async fn whoever_has_no_time_comes_on_all_the_same(bed: Bed) -> anyhow::Result<()> {
        filled(&bed).await?;
        let reading = |deadline| Reading {
            snapshots: bed.store.snapshots.as_ref(),
            select: Select::all(),
            most: MOST_EVENTS,
            deadline,
        };
        let deadline = Instant::now() + Duration::from_millis(500);
        let mut positions = Vec::new();
        let each = |event: &Delivered| {
            positions.push(event.event.position);
            // The first condition takes until it is too late.
            while Instant::now() < deadline {
                std::thread::yield_now();
            }
        };
        assert_eq!(reading(deadline).run(&History::default(), each).await?, 1);
        assert_eq!(positions, [1]);
        // Without any, the store may have answered at once all the same.
        match reading(Instant::now()).run(&History::default(), |_| ()).await {
            Ok(next) => assert_eq!(next, 1),
            Err(late) => assert_eq!(late.kind(), ErrorKind::Unavailable),
        }
        Ok(())
    }
}
