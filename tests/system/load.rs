//! Load from many writers, and what became of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cornjacket_domain::StoredEvent;
use cornjacket_proto::events::Event;
use cornjacket_proto::ingest::outcome::Result::Receipt as Accepted;
use cornjacket_proto::ingest::{AppendBatchRequest, AppendRequest, Receipt};
use cornjacket_testkit::shared::from_environment;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout_at};
use tonic::Status;

use super::cornjacket::Cornjacket;
use super::events::reading;

const WRITERS: usize = 8;
const BATCH: usize = 20;
/// Of [`send_all`].
const SENT_AT_ONCE: usize = 100;
const SEND_DEADLINE: Duration = Duration::from_mins(10);

/// Whether this is the long form, as `tests/long` runs it.
pub fn long() -> bool {
    from_environment("CORNJACKET_TEST_LONG").is_some()
}

/// Random numbers that can be had again: the seed is printed, and `CORNJACKET_TEST_SEED` sets it.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    pub fn seeded() -> Self {
        let seed = from_environment("CORNJACKET_TEST_SEED").and_then(|text| text.parse().ok());
        let seed = seed.unwrap_or(20_261_123);
        println!("CORNJACKET_TEST_SEED={seed}");
        Self(seed)
    }

    /// A number in `range`, by a linear congruential generator (Knuth, MMIX).
    pub fn within(&mut self, range: std::ops::Range<u64>) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        range.start + (self.0 >> 33) % (range.end - range.start)
    }
}

/// Every id that was acknowledged, with its position.
#[derive(Clone, Debug, Default)]
pub struct Acknowledged(Arc<Mutex<BTreeMap<String, u64>>>);

impl Acknowledged {
    fn add(&self, receipts: Vec<Receipt>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(receipts.into_iter().map(|receipt| (receipt.id, receipt.position)));
    }

    pub fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Every one of them is in the log exactly once, where its receipt says.
    pub fn check(&self, log: &[StoredEvent]) -> anyhow::Result<()> {
        let mut found = BTreeMap::new();
        for stored in log {
            let event = stored.decode()?;
            assert_eq!(found.insert(event.id.clone(), stored.position), None, "{} is stored twice", event.id);
        }
        for (id, position) in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            assert_eq!(found.get(id), Some(position), "{id} was acknowledged");
        }
        println!("{} acknowledged, {} stored", self.count(), log.len());
        Ok(())
    }
}

/// Starts writers that send events, alone and in batches, until a call of theirs fails: when the process is gone, say.
/// `name` makes their ids differ from those of other loads. Aborted when dropped.
pub fn start(cornjacket: &Cornjacket, name: &str, acknowledged: &Acknowledged) -> JoinSet<Status> {
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (cornjacket, acknowledged) = (cornjacket.clone(), acknowledged.clone());
        writers.spawn(write(cornjacket, format!("{name}-{writer}"), acknowledged));
    }
    writers
}

async fn write(cornjacket: Cornjacket, name: String, acknowledged: Acknowledged) -> Status {
    let mut ingest = match cornjacket.ingest().await {
        Ok(ingest) => ingest,
        Err(error) => return Status::unavailable(error.to_string()),
    };
    let event = |number: u64, item: usize| {
        // Writers share devices, so that the order of a device is that of the log and of nothing else.
        reading(&format!("pump-{}", (number + item as u64) % 13), &format!("{name}-{number}-{item}"), 1.0)
    };
    for number in 0.. {
        let sent = if number % 2 == 0 {
            let response = ingest.append(AppendRequest { event: Some(event(number, 0)) }).await;
            response.map(|response| response.into_inner().receipt.into_iter().collect())
        } else {
            let events = (0..BATCH).map(|item| event(number, item)).collect();
            let response = ingest.append_batch(AppendBatchRequest { events }).await;
            response.and_then(|response| response.into_inner().outcomes.into_iter().map(receipt).collect())
        };
        match sent {
            Ok(receipts) => acknowledged.add(receipts),
            Err(status) => return status,
        }
    }
    unreachable!("numbers do not end")
}

fn receipt(outcome: cornjacket_proto::ingest::Outcome) -> Result<Receipt, Status> {
    match outcome.result {
        Some(Accepted(receipt)) => Ok(receipt),
        other => Err(Status::new(
            tonic::Code::from_i32(match &other {
                Some(cornjacket_proto::ingest::outcome::Result::Error(error)) => error.code,
                _ => 0,
            }),
            format!("{other:?}"),
        )),
    }
}

/// Sends everything, a hundred at a time, no faster than a hundred `every` so long; what was not answered is sent again.
pub async fn send_all(cornjacket: Cornjacket, events: Vec<Event>, every: Duration) -> anyhow::Result<()> {
    let (mut pace, deadline) = (interval(every), Instant::now() + SEND_DEADLINE);
    for batch in events.chunks(SENT_AT_ONCE) {
        pace.tick().await;
        let sent = async {
            loop {
                let request = AppendBatchRequest { events: batch.to_vec() };
                if let Ok(mut ingest) = cornjacket.ingest().await
                    && ingest.append_batch(request).await.is_ok()
                {
                    break;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout_at(deadline, sent).await?;
    }
    Ok(())
}
