//! What is where on the topics, and whether it still is.
//!
//! A topic that was deleted and made anew has its old name, and producers go on as if nothing had happened. Its offsets
//! begin anew, though: either those of acknowledged records go back, or what was acknowledged lies beyond its end.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use cornjacket_domain::Topic;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{NoCustomPartitioner, ProducerContext};
use rdkafka::{ClientContext, Message};

use super::{KafkaBus, PATIENCE, failed};
use crate::{BusError, Mark, Published, TopicPartition};

/// What Kafka has acknowledged: told by librdkafka's thread, read by the publisher.
pub(super) struct Acknowledged {
    by_name: BTreeMap<String, Topic>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    published: Published,
    trouble: Option<BusError>,
}

impl Acknowledged {
    pub(super) fn new(by_name: BTreeMap<String, Topic>, published: Published) -> Self {
        Self { by_name, known: Mutex::new(Known { published, trouble: None }) }
    }

    /// What is where, or why that can no longer be said.
    pub(super) fn published(&self) -> Result<Published, BusError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.trouble.take().map_or_else(|| Ok(known.published.clone()), Err)
    }

    /// The first trouble is that which is told.
    fn trouble(&self, trouble: BusError) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.trouble.get_or_insert(trouble);
    }

    fn note(&self, name: &str, partition: i32, position: u64, offset: i64) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let at = self.by_name.get(name).zip(u16::try_from(partition).ok());
        let Some(((topic, partition), offset)) = at.zip(u64::try_from(offset).ok()) else {
            let unclear = format!("{name}/{partition}: an acknowledgement at offset {offset}");
            known.trouble.get_or_insert(BusError::Outage(unclear));
            return;
        };
        let at = TopicPartition { topic: *topic, partition };
        if !known.published.put(at, Mark { position, offset }) {
            let lost = format!("offsets of {at} went back to {offset}");
            known.trouble = Some(BusError::Lost(lost));
        }
    }
}

impl ClientContext for Acknowledged {}

impl ProducerContext<NoCustomPartitioner> for Acknowledged {
    /// The position of the event.
    type DeliveryOpaque = usize;

    fn delivery(&self, delivered: &DeliveryResult<'_>, position: usize) {
        match delivered {
            Ok(record) => self.note(record.topic(), record.partition(), position as u64, record.offset()),
            Err((error, _)) => self.trouble(BusError::Outage(format!("position {position}: {error}"))),
        }
    }
}

/// A client that asks where topics end. A producer would be told where its open transactions begin.
pub(super) fn reader(bus: &KafkaBus) -> Result<BaseConsumer, BusError> {
    bus.client().set("isolation.level", "read_uncommitted").create().map_err(failed)
}

/// Whether the topics still have what was published; blocks. What their retention has dropped they had.
pub(super) fn check(bus: &KafkaBus, reader: &BaseConsumer, published: &Published) -> Result<(), BusError> {
    for (at, mark) in published.marks() {
        let found = reader.fetch_watermarks(&bus.topic_name(at.topic), at.partition.into(), PATIENCE);
        let (_, end) = found.map_err(failed)?;
        if u64::try_from(end).is_ok_and(|end| end <= mark.offset) {
            return Err(BusError::Lost(format!("{at} ends at {end}, and once had offset {}", mark.offset)));
        }
    }
    Ok(())
}
