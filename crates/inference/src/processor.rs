//! From measurements to samples and their roll-ups.

use std::time::Duration;

use async_trait::async_trait;
use cornjacket_bus::{Delivered, Handler, HandlerError};
use cornjacket_domain::Topic;
use cornjacket_store::{StoreError, Tx};

use crate::batch::{Batch, buckets, roll_up};

/// The consumer's name.
pub const NAME: &str = "inference";
/// Where measurements are: types under `sensor.`, so that a series has one writer.
pub const TOPICS: [Topic; 1] = [Topic::SensorEvents];

/// The one writer of time series.
#[derive(Debug)]
pub struct Processor {
    keep: Duration,
}

impl Processor {
    /// A processor that leaves out what was older than `keep` when it came.
    pub const fn new(keep: Duration) -> Self {
        Self { keep }
    }
}

#[async_trait]
impl Handler<Box<dyn Tx>> for Processor {
    fn name(&self) -> &str {
        NAME
    }

    fn topics(&self) -> &[Topic] {
        &TOPICS
    }

    async fn handle(&self, tx: &mut Box<dyn Tx>, events: &[Delivered]) -> Result<(), HandlerError> {
        let batch = Batch::of(events, self.keep);
        if batch.too_old > 0 {
            metrics::counter!("cornjacket_samples_too_old_total").increment(batch.too_old);
        }
        write(tx.as_mut(), &batch).await.map_err(|error| HandlerError::of_store(error.is_unfit(), error))
    }
}

async fn write(tx: &mut dyn Tx, batch: &Batch) -> Result<(), StoreError> {
    let series = batch.series();
    if series.is_empty() {
        return Ok(());
    }
    let samples = batch.samples(&tx.series(&series).await?);
    let known = tx.load_rollups(&buckets(&samples)).await?;
    tx.add_samples(&samples).await?;
    tx.save_rollups(&roll_up(&samples, known)).await
}
