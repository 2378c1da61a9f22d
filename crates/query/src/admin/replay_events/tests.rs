use std::sync::Mutex;

use async_trait::async_trait;
use cornjacket_domain::clock::ManualClock;
use cornjacket_domain::{Clock, Event, Limits, Partitions, StoredEvent, Timestamp};
use cornjacket_proto::events as proto;
use cornjacket_store::{Options, Store};
use tempfile::TempDir;

use super::*;

/// A log whose days can be dropped.
struct Bed {
    _folder: TempDir,
    clock: Arc<ManualClock>,
    store: Store,
}

impl Bed {
    async fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let clock = Arc::new(ManualClock::at(Timestamp::from_day(20_000)));
        let url = format!("sqlite://{}", folder.path().join("log.db").display());
        let store = Store::open(&Options::new(url, Partitions::ONE), clock.clone()).await?;
        Ok(Self { _folder: folder, clock, store })
    }

    /// Stores `count` events, about two subjects in turn.
    async fn store(&self, count: usize) -> anyhow::Result<()> {
        let event = |number: usize| {
            let event = proto::Event {
                source: "test".into(),
                r#type: "sensor.reading".into(),
                subject: format!("pump-{}", number % 2),
                ..proto::Event::default()
            };
            Event::new(event, self.clock.now(), &Limits::default()).expect("a valid event")
        };
        let events: Vec<_> = (1..=count).map(event).collect();
        self.store.log.append(&events).await?;
        Ok(())
    }

    /// Drops all that is stored, and stores `count` the next day.
    async fn next_day(&self, count: usize) -> anyhow::Result<()> {
        self.clock.advance(Duration::from_hours(24));
        self.store(count).await?;
        self.store.log.drop_before(self.clock.now(), u64::MAX).await?;
        Ok(())
    }

    async fn positions(&self, from: u64, until: u64) -> Result<RangeInclusive<u64>, Failure> {
        positions(self.store.log.as_ref(), &request(from, until)).await
    }

    fn replay(&self, positions: &RangeInclusive<u64>, subject: &str, noted: &Noted) -> Replay {
        Replay {
            id: "r-1".into(),
            log: self.store.log.clone(),
            publisher: Box::new(noted.clone()),
            pace: Pace::new(0),
            select: select(subject.into(), String::new()),
            after: positions.start() - 1,
            until: *positions.end(),
            published: 0,
        }
    }
}

fn request(from_position: u64, until_position: u64) -> ReplayEventsRequest {
    ReplayEventsRequest { from_position, until_position, ..ReplayEventsRequest::default() }
}

/// Notes what it is to publish.
#[derive(Clone, Default)]
struct Noted(Arc<Mutex<Vec<u64>>>);

impl Noted {
    fn positions(&self) -> Vec<u64> {
        self.0.lock().expect("no test panics with it").clone()
    }
}

#[async_trait]
impl Publisher for Noted {
    async fn publish(&mut self, events: &[StoredEvent]) -> Result<(), BusError> {
        let mut noted = self.0.lock().expect("no test panics with it");
        noted.extend(events.iter().map(|event| event.position));
        Ok(())
    }

    async fn commit(&mut self) -> Result<Published, BusError> {
        Ok(Published::default())
    }
}

fn refusal(refused: Result<RangeInclusive<u64>, Failure>) -> (ErrorKind, String) {
    let failure = refused.expect_err("refused");
    (failure.kind(), failure.message().to_owned())
}

#[tokio::test]
async fn what_the_log_does_not_have_is_refused() -> anyhow::Result<()> {
    let bed = Bed::new().await?;
    let (kind, message) = refusal(bed.positions(1, 0).await);
    assert_eq!((kind, message.as_str()), (ErrorKind::OutOfRange, "the log ends at position 0, before 1"));
    let (kind, message) = refusal(bed.positions(0, 0).await);
    assert_eq!((kind, message.as_str()), (ErrorKind::OutOfRange, "the oldest position that is left is 1"));
    bed.store(10).await?;
    assert_eq!(bed.positions(3, 0).await?, 3..=10, "until the head");
    let (kind, message) = refusal(bed.positions(3, 11).await);
    assert_eq!((kind, message.as_str()), (ErrorKind::OutOfRange, "the log ends at position 10, before 11"));
    assert_eq!(refusal(bed.positions(7, 3).await).0, ErrorKind::Invalid);
    let (kind, message) = refusal(bed.positions(0, 3).await);
    assert_eq!((kind, message.as_str()), (ErrorKind::OutOfRange, "the oldest position that is left is 1"));
    bed.next_day(5).await?;
    let (kind, message) = refusal(bed.positions(10, 0).await);
    assert_eq!((kind, message.as_str()), (ErrorKind::OutOfRange, "the oldest position that is left is 11"));
    assert_eq!(bed.positions(11, 0).await?, 11..=15);
    bed.next_day(0).await?;
    let (kind, message) = refusal(bed.positions(15, 0).await);
    assert_eq!((kind, message.as_str()), (ErrorKind::OutOfRange, "the oldest position that is left is 16"));
    Ok(())
}

#[tokio::test]
async fn the_range_is_published_once_and_in_order_and_the_last_message_says_so() -> anyhow::Result<()> {
    let bed = Bed::new().await?;
    bed.store(3_500).await?;
    for (subject, expected) in [("", (7..=3_300).collect()), ("pump-1", (7..=3_300).step_by(2).collect())] {
        let (noted, expected): (_, Vec<u64>) = (Noted::default(), expected);
        let messages: Vec<_> = bed.replay(&(7..=3_300), subject, &noted).steps().collect().await;
        let messages: Vec<_> = messages.into_iter().collect::<Result<_, _>>()?;
        assert_eq!(noted.positions(), expected);
        let (last, others) = messages.split_last().expect("messages");
        assert!(last.done && others.iter().all(|message| !message.done));
        assert_eq!((last.position, last.published), (3_300, expected.len() as u64));
        assert!(messages.is_sorted_by_key(|message| message.position));
    }
    Ok(())
}

#[tokio::test]
async fn nobody_is_told_of_progress_that_retention_made() -> anyhow::Result<()> {
    let bed = Bed::new().await?;
    bed.store(3_000).await?;
    for subject in ["", "pump-1"] {
        let noted = Noted::default();
        let head = bed.store.log.head().await?.position;
        let steps = bed.replay(&(head - 2_999..=head), subject, &noted).steps();
        let mut steps = std::pin::pin!(steps);
        assert!(matches!(steps.next().await, Some(Ok(message)) if !message.done));
        bed.next_day(3_000).await?;
        let status = steps.next().await.expect("an answer").expect_err("the rest is gone");
        assert_eq!(status.code(), tonic::Code::OutOfRange, "{status:?}");
        assert!(steps.next().await.is_none());
        assert!(noted.positions().len() <= 2_000);
    }
    Ok(())
}

#[tokio::test]
async fn who_hangs_up_ends_it() -> anyhow::Result<()> {
    let bed = Bed::new().await?;
    bed.store(3_000).await?;
    let noted = Noted::default();
    let mut steps = bed.replay(&(1..=3_000), "", &noted).steps().boxed();
    assert!(matches!(steps.next().await, Some(Ok(message)) if message.position == 1_000));
    drop(steps);
    assert_eq!(noted.positions().len(), 1_000);
    Ok(())
}
