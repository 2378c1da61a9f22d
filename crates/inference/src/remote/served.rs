//! A model that a server runs, and asking the server without waiting for it longer than is good.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cornjacket_domain::{Clock, SeriesKey};
use cornjacket_store::Model;
use tokio::time::Instant;

use super::breaker::{Breaker, Turned};
use super::client::ModelClient;
use super::failure::{Failure, brief};
use super::protocol::{Judgement, Rows};
use super::windows::Windows;
use crate::detectors::Remote;
use crate::watching::Watches;

/// No request of a batch of events is begun later than this after the first, so that a server that answers, but slowly, keeps
/// a batch for no longer than this and one deadline.
const PATIENCE: Duration = Duration::from_secs(10);

/// A model that a server runs.
#[derive(Debug)]
pub(crate) struct Served {
    /// As it was registered.
    pub model: Model,
    /// What its parameters say.
    pub remote: Remote,
    watches: Watches,
    breaker: Mutex<Breaker>,
}

/// What became of a sample: what the server says of it, or why it says nothing.
pub(crate) type Outcome = Result<Judgement, String>;

impl Served {
    /// One whose server is thought well of.
    pub fn new(model: Model, remote: Remote) -> Self {
        let watches = Watches::of(&model.draft);
        let served = Self { model, remote, watches, breaker: Mutex::default() };
        served.show(false);
        served
    }

    /// Whether it watches a series.
    pub fn watches(&self, key: &SeriesKey) -> bool {
        self.watches.allow(key)
    }

    /// Asks for samples, given by their numbers in the batch that the windows are of; says something of each, in that order.
    pub async fn judge(
        &self,
        client: &ModelClient,
        clock: &dyn Clock,
        samples: &[usize],
        windows: &Windows,
    ) -> Vec<Outcome> {
        let (width, most) = (self.remote.parameters.window as usize, self.remote.parameters.batch as usize);
        let until = Instant::now() + PATIENCE;
        let mut outcomes = Vec::with_capacity(samples.len());
        for (number, chunk) in samples.chunks(most).enumerate() {
            let mut rows =
                Rows { count: chunk.len(), width, values: Vec::with_capacity(chunk.len() * width) };
            for sample in chunk {
                windows.add(*sample, width, &mut rows.values);
            }
            let said = if Instant::now() < until {
                self.ask(client, clock, &number.to_string(), &rows).await
            } else {
                Err(format!("not asked: what came before took more than {} s", PATIENCE.as_secs()))
            };
            match said {
                Ok(judgements) => outcomes.extend(judgements.into_iter().map(Ok)),
                Err(reason) => outcomes.extend(std::iter::repeat_n(Err(reason), chunk.len())),
            }
        }
        outcomes
    }

    async fn ask(
        &self,
        client: &ModelClient,
        clock: &dyn Clock,
        id: &str,
        rows: &Rows,
    ) -> Result<Vec<Judgement>, String> {
        let admitted = self.breaker().admit(clock.now());
        admitted.map_err(|reason| brief(&format_args!("not asked since it failed: {reason}")))?;
        let began = Instant::now();
        let answer = client.infer(&self.remote, id, rows).await;
        let outcome = answer.as_ref().map_or_else(Failure::outcome, |_| "scored");
        let labels = || [("model", self.model.draft.name.clone())];
        metrics::counter!("cornjacket_remote_requests_total", "model" => self.model.draft.name.clone(), "outcome" => outcome)
            .increment(1);
        metrics::histogram!("cornjacket_remote_request_seconds", &labels())
            .record(began.elapsed().as_secs_f64());
        match answer {
            Ok(judgements) => {
                let turned = self.breaker().succeeded();
                self.tell(turned, "it answers");
                Ok(judgements)
            }
            Err(failure) => {
                let reason = brief(&failure);
                let turned = self.breaker().failed(clock.now(), &reason);
                self.tell(turned, &reason);
                Err(reason)
            }
        }
    }

    /// Nothing is left half done under this lock.
    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, turned: Option<Turned>, reason: &str) {
        let (name, version) = (&self.model.draft.name, self.model.version);
        match turned {
            None => return,
            Some(Turned::Open) => {
                tracing::warn!(
                    model = name,
                    version,
                    reason,
                    "a model server fails: samples are marked unscored until it answers"
                );
            }
            Some(Turned::Closed) => {
                tracing::info!(model = name, version, "a model server answers again: samples are scored");
            }
        }
        self.show(turned == Some(Turned::Open));
    }

    fn show(&self, is_open: bool) {
        let labels = [("model", self.model.draft.name.clone()), ("version", self.model.version.to_string())];
        metrics::gauge!("cornjacket_remote_breaker_open", &labels).set(f64::from(u8::from(is_open)));
    }
}

impl Drop for Served {
    /// A model that is off has no server.
    fn drop(&mut self) {
        self.show(false);
    }
}
