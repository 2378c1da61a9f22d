//! Putting events on topics once more, for readers that are not ours.
//!
//! It goes on beside the relay. Nobody is to be shut out, so its producer has no transactions; one that was left open by
//! a process that died would also hide everything behind it from `read_committed` readers until it timed out. A repeated
//! record does no harm, an idempotent producer keeps the order.
//!
//! Its records take offsets between the relay's, whose own still grow. Only a topic that was made anew must not grow by a
//! replay past where it ended before, or the relay would not notice: so it is looked at first, and the offset of every
//! record is measured against the relay's.

use std::sync::Arc;

use async_trait::async_trait;
use cornjacket_domain::StoredEvent;
use rdkafka::producer::Producer;

use super::sender::Sender;
use super::{KafkaBus, blocking, marks};
use crate::codec::Sending;
use crate::{BusError, Published, Publisher};

pub(super) struct KafkaReplayer {
    id: String,
    sender: Sender,
}

impl KafkaReplayer {
    pub(super) async fn new(bus: KafkaBus, id: &str, published: Published) -> Result<Self, BusError> {
        let sender = Sender::new(&bus, published.clone(), |_| ())?;
        let reader = Arc::new(marks::reader(&bus)?);
        blocking(move || marks::check(&bus, &reader, &published)).await?;
        Ok(Self { id: id.to_owned(), sender })
    }
}

#[async_trait]
impl Publisher for KafkaReplayer {
    async fn publish(&mut self, events: &[StoredEvent]) -> Result<(), BusError> {
        let sending = Sending::Replayed { id: &self.id };
        let record = |event| Ok((self.sender.place(event), self.sender.encode(event, sending)?));
        let outgoing = events.iter().map(record).collect::<Result<Vec<_>, BusError>>()?;
        self.sender.send_all(events, &outgoing).await
    }

    async fn commit(&mut self) -> Result<Published, BusError> {
        self.sender.until_acknowledged().await?;
        self.sender.producer.context().published()
    }
}
