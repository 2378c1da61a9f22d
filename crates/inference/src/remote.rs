//! Scoring by model servers, beside the way of samples to their series.
//!
//! A consumer of its own asks them, so that one that is slow or gone holds up nothing else: before the transaction, since
//! a transaction that waited for a server would hold up every writer of the store. What a server says goes into the
//! transaction that moves the offset, and so does the reason where it says nothing: each sample that a model watches has one
//! row, whatever happens. A server that fails again and again is left alone for a while (`breaker.rs`), so that being late
//! has an end.

mod breaker;
mod client;
mod failure;
mod found;
mod protocol;
mod roster;
mod served;
mod windows;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cornjacket_bus::{Delivered, Handler, HandlerError};
use cornjacket_domain::{Clock, Timestamp, Topic};
use cornjacket_store::{Models, Snapshots, StoreError, Tx};
use futures::future::join_all;
use tokio::time::sleep;

pub use self::client::{ClientError, ModelClient};
pub use self::found::Found;
use self::found::Said;
use self::roster::{Duties, Duty, Roster};
use self::windows::{Recent, Windows};
use crate::batch::Batch;
use crate::detectors::remote::WIDEST;
use crate::outcome::failed;

/// The consumer's name.
pub const NAME: &str = "remote";
/// Where measurements are. Counts of events follow from what is stored in the transaction that stores them, which nobody beside
/// the processor knows: no server is asked about them.
pub const TOPICS: [Topic; 1] = [Topic::SensorEvents];

/// How long the store may take to tell what came before a batch.
const LOOK: Duration = Duration::from_secs(5);
/// How long it rests after so few events, when there is no model to be asked.
const REST: Duration = Duration::from_millis(50);
const FEW: usize = 100;
/// What is older than this before a sample is not seen with it.
const LOOK_BACK: Duration = Duration::from_hours(24 * 7);

/// What the scorer needs.
#[derive(Clone, Debug)]
pub struct Ports {
    /// Which models there are.
    pub models: Arc<dyn Models>,
    /// What samples came before.
    pub snapshots: Arc<dyn Snapshots>,
    /// Asks servers.
    pub client: ModelClient,
    /// How long servers are left alone goes by it.
    pub clock: Arc<dyn Clock>,
}

/// Has model servers score samples.
#[derive(Debug)]
pub struct RemoteScorer {
    ports: Ports,
    keep: Duration,
    roster: Roster,
    recent: Recent,
}

impl RemoteScorer {
    /// One that knows no server yet. What was older than `keep` when it came is no sample.
    pub fn new(ports: Ports, keep: Duration) -> Self {
        Self { ports, keep, roster: Roster::default(), recent: Recent::default() }
    }

    async fn ask(&self, events: &[Delivered]) -> Result<Found, StoreError> {
        let Duties { head, all: duties } = self.roster.now(self.ports.models.as_ref()).await?;
        if duties.is_empty() {
            // Processors and store are for those who have something to do: what comes meanwhile is one batch with what is next.
            if events.len() < FEW {
                sleep(REST).await;
            }
            return Ok(Found::default());
        }
        let batch = Batch::of(events, self.keep);
        let series = batch.series();
        let watched = |duty: &Duty| -> Vec<usize> {
            let watches: Vec<bool> = series.iter().map(|(key, _)| duty.served.watches(key)).collect();
            let samples = batch.numbered().iter().enumerate();
            samples.filter(|(_, (number, _))| watches[*number]).map(|(at, _)| at).collect()
        };
        let work = duties.into_iter().map(|duty| (watched(&duty), duty));
        let work: Vec<_> = work.filter(|(samples, _)| !samples.is_empty()).collect();
        let windows = self.windows(&batch, &work).await?;
        let said = join_all(work.into_iter().map(async |(samples, duty)| {
            let Ports { client, clock, .. } = &self.ports;
            let outcomes = duty.served.judge(client, clock.as_ref(), &samples, &windows).await;
            Said { duty, outcomes: samples.into_iter().zip(outcomes).collect() }
        }));
        let said = said.await;
        Ok(Found { batch, head, said })
    }

    /// With what each sample is seen. The store is asked about series of which some model wants more than the sample itself.
    async fn windows(&self, batch: &Batch, work: &[(Vec<usize>, Duty)]) -> Result<Windows, StoreError> {
        let wide = work.iter().filter(|(_, duty)| duty.served.remote.parameters.window > 1);
        let mut latest: BTreeMap<usize, Timestamp> = BTreeMap::new();
        for (number, sample) in wide.flat_map(|(samples, _)| samples).map(|at| batch.numbered()[*at]) {
            let known = latest.entry(number).or_insert(sample.time);
            *known = sample.time.max(*known);
        }
        let Some(oldest) = latest.values().min().copied() else { return Ok(Windows::of_one(batch)) };
        let first = batch.numbered().first().map_or(0, |(_, sample)| sample.position);
        let series = batch.series();
        let places: Vec<_> =
            latest.iter().map(|(number, time)| (series[*number].0, (*time, first))).collect();
        let mut snapshot = self.ports.snapshots.begin(LOOK).await?;
        let stored = snapshot.samples_before(&places, oldest - LOOK_BACK, WIDEST - 1).await?;
        Ok(Windows::of_many(batch, &self.recent, &latest.into_keys().zip(stored).collect()))
    }
}

#[async_trait]
impl Handler<Box<dyn Tx>> for RemoteScorer {
    type Prepared = Found;

    fn name(&self) -> &str {
        NAME
    }

    fn topics(&self) -> &[Topic] {
        &TOPICS
    }

    async fn prepare(&self, events: &[Delivered]) -> Result<Found, HandlerError> {
        self.ask(events).await.map_err(failed)
    }

    async fn handle(
        &self,
        tx: &mut Box<dyn Tx>,
        events: &[Delivered],
        found: Found,
    ) -> Result<(), HandlerError> {
        found.write(tx.as_mut(), events).await.map_err(failed)
    }
}
