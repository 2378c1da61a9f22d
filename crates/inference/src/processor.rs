//! From measurements, and events that are counted, to samples and their roll-ups.

use std::time::Duration;

use async_trait::async_trait;
use cornjacket_bus::{Delivered, Handler, HandlerError};
use cornjacket_domain::{Partitions, Topic};
use cornjacket_store::{StoreError, Tx};

use crate::batch::{Batch, buckets, by_series, roll_up};
use crate::counts::{Counted, Counts};
use crate::outcome::failed;
use crate::scorer::Scorer;

/// The consumer's name.
pub const NAME: &str = "inference";

/// The one writer of time series.
#[derive(Debug)]
pub struct Processor {
    keep: Duration,
    counted: Counted,
    topics: Vec<Topic>,
    scorer: Scorer,
}

/// What a processor needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// What was older than this when it came is left out.
    pub keep: Duration,
    /// Events of these types are counted, beside what devices measure.
    pub counted: Counted,
    /// Of every topic.
    pub partitions: Partitions,
    /// About how much memory what detectors remember may take, in bytes.
    pub state_bytes: usize,
}

impl Processor {
    /// A processor that remembers nothing yet.
    pub fn new(options: Options) -> Self {
        let Options { keep, counted, partitions, state_bytes } = options;
        let topics = counted.topics();
        let scorer = Scorer::new(partitions, topics.len(), state_bytes);
        Self { keep, counted, topics, scorer }
    }

    /// About how much memory what detectors remember takes, in bytes: at most [`Options::state_bytes`] between transactions.
    pub async fn state_bytes(&self) -> usize {
        self.scorer.bytes().await
    }

    async fn write(
        &self,
        tx: &mut dyn Tx,
        events: &[Delivered],
        measured: &Batch,
        counts: &Counts,
    ) -> Result<(), StoreError> {
        let mut series = measured.series();
        let split = series.len();
        series.extend(counts.series());
        if series.is_empty() {
            return Ok(());
        }
        let ids = tx.series(&series).await?;
        let (of_measured, of_counts) = ids.split_at(split);
        let mut samples = measured.samples(of_measured);
        let times = samples.iter().map(|(series, sample)| (*series, sample.time));
        let known = tx.load_rollups(&buckets(times.chain(counts.times(of_counts)))).await?;
        samples.extend(counts.samples(of_counts, &known));
        tx.add_samples(&samples).await?;
        tx.save_rollups(&roll_up(&samples, known)).await?;
        self.scorer.score(tx, events, &by_series(&series, &ids, &samples)).await
    }
}

#[async_trait]
impl Handler<Box<dyn Tx>> for Processor {
    type Prepared = ();

    fn name(&self) -> &str {
        NAME
    }

    fn topics(&self) -> &[Topic] {
        &self.topics
    }

    async fn handle(&self, tx: &mut Box<dyn Tx>, events: &[Delivered], (): ()) -> Result<(), HandlerError> {
        let measured = Batch::of(events, self.keep);
        let counts = Counts::of(events, self.keep, &self.counted);
        let too_old = measured.too_old + counts.too_old;
        if too_old > 0 {
            metrics::counter!("cornjacket_samples_too_old_total").increment(too_old);
        }
        self.write(tx.as_mut(), events, &measured, &counts).await.map_err(failed)
    }
}
