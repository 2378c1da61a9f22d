//! Letting go of what is over: deliveries, what the ledger says, alarms, silences, and keys that sign no longer.
//!
//! What waits or is under way stays, and so does what something else still asks for: limits count attempts, windows begin with
//! decisions, and whoever asks why he was told finds the decision to each delivery.

use std::sync::Arc;
use std::time::Duration;

use cornjacket_domain::Timestamp;
use cornjacket_proto::actions::Silence;
use cornjacket_store::{
    ActionRetention, Aged, Defining, Definition, DefinitionKind, Definitions, Dropped, Redefined,
    Redefinition, StoreError,
};
use prost::Message as _;

use crate::{limits, rules};

/// Of each kind, in one transaction.
const AT_ONCE: u32 = 1_000;
/// In one go: what is more goes with the next one.
const BATCHES: usize = 1_000;

/// How long something is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// What is over.
    pub over: Duration,
    /// How long ago an event may have been stored that is decided on only now.
    pub unread: Duration,
}

/// Lets go of what is over for long.
#[derive(Debug)]
pub struct Retention {
    store: Arc<dyn ActionRetention>,
    defining: Arc<dyn Defining>,
    keep: Keep,
}

impl Keep {
    /// What is let go of at that time.
    fn aged(&self, now: Timestamp) -> Aged {
        let unread = now - self.unread;
        Aged {
            // What was settled before that was attempted before that.
            settled: (now - self.over).min(now - limits::LONGEST),
            windows: unread - rules::LONGEST_WINDOW,
            // An event that is older than what ended an alarm does not raise it.
            cleared: (now - self.over).min(unread),
            secrets: now,
        }
    }
}

impl Retention {
    /// Of what these keep.
    pub fn new(store: Arc<dyn ActionRetention>, defining: Arc<dyn Defining>, keep: Keep) -> Self {
        Self { store, defining, keep }
    }

    /// Lets go of what is over for long enough. After an error the rest goes with the next call.
    pub async fn apply(&self, now: Timestamp) -> Result<(), StoreError> {
        let aged = self.keep.aged(now);
        for _ in 0..BATCHES {
            let dropped = self.store.drop_aged(&aged, AT_ONCE).await?;
            if dropped.is_nothing() {
                break;
            }
            count(&dropped);
        }
        self.end_silences(now).await
    }

    /// Each with a change of its own, as somebody would who cleans up; when somebody else changes something meanwhile, the rest
    /// goes with the next call.
    async fn end_silences(&self, now: Timestamp) -> Result<(), StoreError> {
        let Definitions { mut revision, all } = self.defining.read().await?;
        let old = all.iter().filter(|one| one.kind == DefinitionKind::Silence);
        for silence in old.filter(|one| ended(one).is_some_and(|end| end < now - self.keep.over)) {
            let end = Redefinition {
                revision,
                kind: DefinitionKind::Silence,
                name: &silence.name,
                bytes: None,
                secret: None,
                forgives: false,
                by: None,
                now,
            };
            if self.defining.redefine(&end).await? == Redefined::Moved {
                return Ok(());
            }
            tracing::info!(silence = silence.name, "a silence that is over for long is no longer kept");
            gone("silence", 1);
            revision += 1;
        }
        Ok(())
    }
}

/// When a silence ends; never, where that cannot be read.
fn ended(silence: &Definition) -> Option<Timestamp> {
    let silence = Silence::decode(silence.bytes.as_slice());
    let silence =
        silence.inspect_err(|error| tracing::error!(%error, "a silence that is kept does not decode"));
    silence.ok()?.end_time.as_ref().and_then(Timestamp::from_proto)
}

fn count(dropped: &Dropped) {
    let Dropped { deliveries, decisions, alarms, groups, secrets } = *dropped;
    tracing::debug!(
        deliveries,
        decisions,
        alarms,
        groups,
        secrets,
        "what is over for long is no longer kept"
    );
    for (kind, number) in [
        ("delivery", deliveries),
        ("decision", decisions),
        ("alarm", alarms),
        ("group", groups),
        ("secret", secrets),
    ] {
        gone(kind, number);
    }
}

fn gone(kind: &'static str, number: u64) {
    metrics::counter!("cornjacket_actions_dropped_total", "kind" => kind).increment(number);
}

#[cfg(test)]
mod tests;
