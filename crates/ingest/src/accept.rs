//! From an event as it was sent to a receipt or a reason.

mod in_order;

use std::sync::Arc;
use std::time::Duration;

use cornjacket_domain::{Caller, Clock, ConsistencyToken, Event, Limits, Partitions};
use cornjacket_proto::events as proto;
use cornjacket_proto::google::rpc::bad_request::FieldViolation;
use cornjacket_proto::ingest::{Outcome, Receipt, outcome};
use cornjacket_proto::status::{ErrorKind, Failure};
use cornjacket_store::Appended;

use crate::callers::Callers;
use crate::group_commit::{CommitFailed, Full, GroupCommit, Pending};
use crate::quota::Quota;

/// After this long, a queue that was full has most likely been committed.
const RETRY_WHEN_FULL: Duration = Duration::from_millis(100);
/// After this long, a database that restarts is most likely back.
const RETRY_AFTER_OUTAGE: Duration = Duration::from_secs(1);
/// Events of a batch that are checked before others get a turn: some 0.5 ms.
pub(crate) const WITHOUT_PAUSE: usize = 128;

/// Checks events and hands the good ones on to be stored.
#[derive(Clone, Debug)]
pub struct Acceptor {
    commit: GroupCommit,
    clock: Arc<dyn Clock>,
    limits: Limits,
    quota: Quota,
    partitions: Partitions,
    epoch: u32,
    callers: Callers,
}

impl Acceptor {
    /// `partitions` and `epoch` are those of the log, for the tokens in receipts.
    pub fn new(
        commit: GroupCommit,
        clock: Arc<dyn Clock>,
        limits: Limits,
        partitions: Partitions,
        epoch: u32,
    ) -> Self {
        Self {
            commit,
            clock,
            limits,
            quota: Quota::new(0, 0),
            partitions,
            epoch,
            callers: Callers::default(),
        }
    }

    /// Whether somebody has called just now who waits for an answer.
    pub(crate) fn has_callers(&self) -> bool {
        self.callers.are_here()
    }

    /// With a quota for each caller.
    #[must_use]
    pub fn with_quota(self, quota: Quota) -> Self {
        Self { quota, ..self }
    }

    /// Stores one event.
    pub async fn append(&self, caller: &Caller, event: Option<proto::Event>) -> Result<Receipt, Failure> {
        self.quota.take(caller, 1)?;
        self.callers.call();
        let promise = self.promise(caller, event, || "event".to_owned())?;
        let pending = self.commit.try_submit(vec![promise.1]).map_err(full)?;
        promise.0.keep(pending).await
    }

    /// Stores one event as soon as the caller's quota allows it and there is room. The outer future ends when the event is in the queue, the inner one
    /// when it is stored.
    pub async fn append_later(
        &self,
        caller: &Caller,
        event: Option<proto::Event>,
    ) -> impl Future<Output = Result<Receipt, Failure>> + Send + use<> {
        self.quota.taken(caller).await;
        let taken = match self.promise(caller, event, || "event".to_owned()) {
            Ok((promise, event)) => Ok((promise, self.commit.submit(vec![event]).await)),
            Err(failure) => Err(failure),
        };
        async move {
            let (promise, pending) = taken?;
            promise.keep(pending).await
        }
    }

    /// Stores the good events of a batch, in one go, and says of each what became of it.
    pub async fn append_batch(
        &self,
        caller: &Caller,
        events: Vec<proto::Event>,
    ) -> Result<Vec<Outcome>, Failure> {
        self.check_batch(&events)?;
        self.quota.take(caller, events.len())?;
        self.callers.call();
        let mut good = Vec::with_capacity(events.len());
        let mut promises = Vec::with_capacity(events.len());
        for (index, event) in events.into_iter().enumerate() {
            if index % WITHOUT_PAUSE == WITHOUT_PAUSE - 1 {
                tokio::task::yield_now().await;
            }
            let promise = self.promise(caller, Some(event), || format!("events[{index}]"));
            promises.push(promise.map(|(promise, event)| {
                good.push(event);
                promise
            }));
        }
        let mut appended = if good.is_empty() {
            Vec::new()
        } else {
            self.commit.try_submit(good).map_err(full)?.outcome().await.map_err(not_committed)?
        }
        .into_iter();
        Ok(promises
            .into_iter()
            .map(|promise| {
                outcome(promise.and_then(|promise| promise.receipt(appended.next().ok_or_else(defect)?)))
            })
            .collect())
    }

    fn check_batch(&self, events: &[proto::Event]) -> Result<(), Failure> {
        let bytes: usize = events.iter().map(prost::Message::encoded_len).sum();
        for (what, found, limit) in
            [("events", events.len(), self.limits.batch_events), ("bytes", bytes, self.limits.batch_bytes)]
        {
            if found > limit {
                let description = format!("the batch has {found} {what}; the limit is {limit}");
                return Err(too_large("events", description));
            }
        }
        Ok(())
    }

    fn promise(
        &self,
        caller: &Caller,
        event: Option<proto::Event>,
        path: impl Fn() -> String,
    ) -> Result<(Promise, Event), Failure> {
        let event = event.ok_or_else(|| {
            let (field, description) = (path(), "must be set".to_owned());
            let message = format!("{field} must be set");
            let violation = FieldViolation { field, description, reason: "REQUIRED".into() };
            Failure::new(ErrorKind::Invalid, message).with_violations(vec![violation])
        })?;
        let event =
            Event::new(event, self.clock.now(), &self.limits).map_err(|bad| bad.into_failure(&path()))?;
        caller.authorize_write(&event)?;
        let (topic, partition) = self.partitions.place(event.event_type(), event.subject());
        let promise = Promise {
            id: event.id().to_owned(),
            source: event.source().to_owned(),
            id_generated: event.id_generated(),
            token: ConsistencyToken { epoch: self.epoch, topic, partition, position: 0 },
        };
        Ok((promise, event))
    }
}

/// A receipt that still lacks what only the log knows.
#[derive(Debug)]
struct Promise {
    id: String,
    source: String,
    id_generated: bool,
    token: ConsistencyToken,
}

impl Promise {
    async fn keep(self, pending: Pending) -> Result<Receipt, Failure> {
        let appended = pending.outcome().await.map_err(not_committed)?;
        self.receipt(*appended.first().ok_or_else(defect)?)
    }

    fn receipt(self, appended: Appended) -> Result<Receipt, Failure> {
        let (position, ingest_time, duplicate) = match appended {
            Appended::Stored { position, ingest_time } => (position, ingest_time, false),
            Appended::Duplicate { position, ingest_time } => (position, ingest_time, true),
            Appended::Conflict => return Err(conflict(&self.source, &self.id)),
        };
        Ok(Receipt {
            id: self.id,
            source: self.source,
            position,
            ingest_time: Some(ingest_time.to_proto()),
            duplicate,
            consistency_token: ConsistencyToken { position, ..self.token }.encode(),
            id_generated: self.id_generated,
        })
    }
}

/// As the item of a batch or a stream.
pub(crate) fn outcome(result: Result<Receipt, Failure>) -> Outcome {
    let result = match result {
        Ok(receipt) => outcome::Result::Receipt(receipt),
        Err(failure) => outcome::Result::Error(failure.into()),
    };
    Outcome { result: Some(result) }
}

fn conflict(source: &str, id: &str) -> Failure {
    Failure::new(
        ErrorKind::AlreadyExists,
        format!("id {id:?} of source {source:?} is taken by other content"),
    )
    .with_reason("ID_TAKEN", [("source", source.to_owned()), ("id", id.to_owned())])
}

fn too_large(field: &str, description: String) -> Failure {
    let violation =
        FieldViolation { field: field.into(), description: description.clone(), reason: "TOO_MANY".into() };
    Failure::new(ErrorKind::TooLarge, description).with_violations(vec![violation])
}

fn full(full: Full) -> Failure {
    Failure::new(ErrorKind::Exhausted, full.to_string())
        .with_reason("QUEUE_FULL", [])
        .with_retry_after(RETRY_WHEN_FULL)
}

fn not_committed(failed: CommitFailed) -> Failure {
    match failed {
        CommitFailed::Outage => Failure::new(ErrorKind::Unavailable, failed.to_string())
            .with_reason("STORE_UNAVAILABLE", [])
            .with_retry_after(RETRY_AFTER_OUTAGE),
        CommitFailed::Defect => Failure::new(ErrorKind::Internal, failed.to_string()),
    }
}

/// The log answers every event of a batch.
fn defect() -> Failure {
    Failure::new(ErrorKind::Internal, "the log gave no outcome for an event")
}
