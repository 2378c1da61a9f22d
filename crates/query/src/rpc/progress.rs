//! How far consumers have come: looked up once for all calls that wait for one of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cornjacket_proto::status::Failure;
use cornjacket_store::ConsumerPartition;
use tokio::time::{Instant, timeout_at};

use super::consistency::{look_again, snapshot};
use super::deadline::{WAY_BACK, passed};
use super::{QueryRpc, store_failed};

/// How old a look may be for another call to be content with it.
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// When a call that waits looks again whether what it waits for was parked.
const LOOK_ELSEWHERE: Duration = Duration::from_millis(250);

/// What was last seen of each consumer.
#[derive(Debug, Default)]
pub struct Progress(Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<Option<Seen>>>>>);

/// The last position of each partition that the consumer's work includes.
#[derive(Debug)]
struct Seen {
    at: Instant,
    included: BTreeMap<ConsumerPartition, u64>,
}

/// Waits until a consumer's work includes a position, or for a while, after which there may be other news of it. At the
/// caller's deadline it says how far behind that is.
pub(super) async fn wait_for(
    rpc: &QueryRpc,
    deadline: Instant,
    at: &ConsumerPartition,
    position: u64,
) -> Result<(), Failure> {
    let until = Instant::now() + LOOK_ELSEWHERE;
    loop {
        let included = included(rpc, deadline, at).await?;
        if included >= position || Instant::now() >= until {
            return Ok(());
        }
        look_again(deadline, LOOK_AGAIN, &at.consumer, included, position).await?;
    }
}

async fn included(rpc: &QueryRpc, deadline: Instant, at: &ConsumerPartition) -> Result<u64, Failure> {
    let seen = rpc.progress.of(&at.consumer);
    // Whoever comes meanwhile waits here for the answer to this look.
    let locked = timeout_at(deadline - WAY_BACK, seen.lock()).await;
    let mut seen = locked.map_err(|_| passed())?;
    if seen.as_ref().is_none_or(|seen| seen.at.elapsed() >= LOOK_AGAIN) {
        let mut snapshot = snapshot(rpc, deadline).await?;
        let included = snapshot.progress(&at.consumer).await.map_err(|error| store_failed(&error))?;
        *seen = Some(Seen { at: Instant::now(), included: included.into_iter().collect() });
    }
    let included = seen.as_ref().and_then(|seen| seen.included.get(at));
    Ok(included.copied().unwrap_or_default())
}

impl Progress {
    fn of(&self, consumer: &str) -> Arc<tokio::sync::Mutex<Option<Seen>>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(consumer.to_owned()).or_default().clone()
    }
}
