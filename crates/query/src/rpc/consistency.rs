//! Reading what a token promises.

use std::time::Duration;

use cornjacket_domain::{ConsistencyToken, Topic};
use cornjacket_proto::status::{ErrorKind, Failure};
use cornjacket_store::{ConsumerPartition, Snapshot};
use tokio::time::{Instant, sleep_until};

use super::deadline::WAY_BACK;
use super::{QueryRpc, invalid, progress, store_failed};

/// How often a call that waits for the log of a replica looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(4);

/// Who makes what is read.
#[derive(Clone, Debug)]
pub(super) struct Maker<'a> {
    /// The consumer.
    pub consumer: &'a str,
    /// The topics that it reads.
    pub topics: &'a [Topic],
    /// Whose events are asked about.
    pub subjects: &'a [&'a str],
}

/// What a token says, when there is one.
pub(super) fn require_epoch(rpc: &QueryRpc, token: &str) -> Result<Option<ConsistencyToken>, Failure> {
    if token.is_empty() {
        return Ok(None);
    }
    let token = ConsistencyToken::decode(token)
        .map_err(|_| invalid("consistency_token", "is not a token of a receipt", "GRAMMAR"))?;
    if token.epoch == rpc.epoch {
        Ok(Some(token))
    } else {
        Err(invalid("consistency_token", "is of another epoch of the log", "OTHER_EPOCH"))
    }
}

/// A snapshot of what there is.
pub(super) async fn snapshot(rpc: &QueryRpc, deadline: Instant) -> Result<Box<dyn Snapshot>, Failure> {
    let left = deadline.saturating_duration_since(Instant::now());
    rpc.snapshots.begin(left).await.map_err(|error| store_failed(&error))
}

/// A snapshot whose log has the event of a token: a replica may not have it yet.
pub(super) async fn snapshot_of_log(
    rpc: &QueryRpc,
    deadline: Instant,
    token: &str,
) -> Result<Box<dyn Snapshot>, Failure> {
    let Some(token) = require_epoch(rpc, token)? else { return snapshot(rpc, deadline).await };
    loop {
        let mut snapshot = snapshot(rpc, deadline).await?;
        let stored = snapshot.head().await.map_err(|error| store_failed(&error))?.position;
        if stored >= token.position {
            return Ok(snapshot);
        }
        drop(snapshot);
        look_again(deadline, LOOK_AGAIN, "the log", stored, token.position).await?;
    }
}

/// A snapshot that includes what a token promises: waits until there is one.
pub(super) async fn snapshot_with(
    rpc: &QueryRpc,
    deadline: Instant,
    maker: &Maker<'_>,
    token: &str,
) -> Result<Box<dyn Snapshot>, Failure> {
    let token = require_epoch(rpc, token)?;
    // An event of a topic that the maker does not read will never be in what it makes.
    let Some(token) = token.filter(|token| maker.topics.contains(&token.topic)) else {
        return snapshot(rpc, deadline).await;
    };
    let (topic, partition) = (token.topic.name(), token.partition);
    let at = ConsumerPartition { consumer: maker.consumer.to_owned(), topic, partition };
    loop {
        let mut snapshot = snapshot(rpc, deadline).await?;
        refuse_parked(snapshot.as_mut(), &at, maker.subjects, token.position).await?;
        let included = snapshot.included(&at).await.map_err(|error| store_failed(&error))?;
        if included >= token.position {
            return Ok(snapshot);
        }
        drop(snapshot);
        progress::wait_for(rpc, deadline, &at, token.position).await?;
    }
}

/// Waits a moment, as long as the caller does; else says how far behind it is.
pub(super) async fn look_again(
    deadline: Instant,
    moment: Duration,
    what: &str,
    included: u64,
    wanted: u64,
) -> Result<(), Failure> {
    let again = Instant::now() + moment;
    if again + WAY_BACK > deadline {
        let message = format!("{what} includes position {included}, not yet {wanted}");
        return Err(Failure::new(ErrorKind::Unavailable, message)
            .with_reason("BEHIND", [("included", included.to_string()), ("wanted", wanted.to_string())])
            .with_retry_after(Duration::from_millis(100)));
    }
    sleep_until(again).await;
    Ok(())
}

/// The event that the token stands for is not in what is read, and waiting does not bring it there.
async fn refuse_parked(
    snapshot: &mut dyn Snapshot,
    at: &ConsumerPartition,
    subjects: &[&str],
    wanted: u64,
) -> Result<(), Failure> {
    for subject in subjects {
        let parked = snapshot.parked(at, subject).await.map_err(|error| store_failed(&error))?;
        if parked.is_some_and(|parked| parked <= wanted) {
            let consumer = &at.consumer;
            let message =
                format!("{consumer} could not handle an event of {subject:?}: it waits as a dead letter");
            let place = [("consumer", consumer.clone()), ("subject", (*subject).to_owned())];
            return Err(Failure::new(ErrorKind::FailedPrecondition, message).with_reason("PARKED", place));
        }
    }
    Ok(())
}
