//! From measurements to samples and their roll-ups.

use std::time::Duration;

use async_trait::async_trait;
use cornjacket_bus::{Delivered, Handler, HandlerError};
use cornjacket_domain::{Partitions, Topic};
use cornjacket_store::{StoreError, Tx};

use crate::batch::{Batch, buckets, roll_up};
use crate::outcome::failed;
use crate::scorer::Scorer;

/// The consumer's name.
pub const NAME: &str = "inference";
/// Where measurements are: types under `sensor.`, so that a series has one writer.
pub const TOPICS: [Topic; 1] = [Topic::SensorEvents];

/// The one writer of time series.
#[derive(Debug)]
pub struct Processor {
    keep: Duration,
    scorer: Scorer,
}

/// What a processor needs to know.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What was older than this when it came is left out.
    pub keep: Duration,
    /// Of every topic.
    pub partitions: Partitions,
    /// About how much memory what detectors remember may take, in bytes.
    pub state_bytes: usize,
}

impl Processor {
    /// A processor that remembers nothing yet.
    pub fn new(options: Options) -> Self {
        Self { keep: options.keep, scorer: Scorer::new(options.partitions, options.state_bytes) }
    }

    /// About how much memory what detectors remember takes, in bytes: at most [`Options::state_bytes`] between transactions.
    pub async fn state_bytes(&self) -> usize {
        self.scorer.bytes().await
    }

    async fn write(&self, tx: &mut dyn Tx, events: &[Delivered], batch: &Batch) -> Result<(), StoreError> {
        let series = batch.series();
        if series.is_empty() {
            return Ok(());
        }
        let ids = tx.series(&series).await?;
        let samples = batch.samples(&ids);
        let known = tx.load_rollups(&buckets(&samples)).await?;
        tx.add_samples(&samples).await?;
        tx.save_rollups(&roll_up(&samples, known)).await?;
        self.scorer.score(tx, events, &batch.by_series(&ids)).await
    }
}

#[async_trait]
impl Handler<Box<dyn Tx>> for Processor {
    type Prepared = ();

    fn name(&self) -> &str {
        NAME
    }

    fn topics(&self) -> &[Topic] {
        &TOPICS
    }

    async fn handle(&self, tx: &mut Box<dyn Tx>, events: &[Delivered], (): ()) -> Result<(), HandlerError> {
        let batch = Batch::of(events, self.keep);
        if batch.too_old > 0 {
            metrics::counter!("cornjacket_samples_too_old_total").increment(batch.too_old);
        }
        self.write(tx.as_mut(), events, &batch).await.map_err(failed)
    }
}
