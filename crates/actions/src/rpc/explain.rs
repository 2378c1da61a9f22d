//! `ExplainNotification`: why somebody was told of an event, or was not.

mod fate;

use std::collections::BTreeSet;
use std::time::Duration;

use cornjacket_domain::{EventKey, StoredEvent};
use cornjacket_proto::actions::explain_notification_response::Explanation;
use cornjacket_proto::actions::{
    Decision, Delivery, ExplainNotificationRequest, ExplainNotificationResponse, decision,
};
use cornjacket_proto::status::Failure;
use cornjacket_store::{DecidedEvent, DefinitionKind, Definitions, DeliveryFilter, Outcome};
use tonic::Request;

use self::fate::{Holds, fates};
use super::endpoints::health;
use super::test_rule::delivered;
use super::{ActionRpc, caller_of, deliveries, no_such, required, store_failed};
use crate::dispatcher::meant::meant;
use crate::rule_set::RuleSet;

/// Deliveries of one decision that are shown, at the most: a rule has no more endpoints.
const SHOWN: u32 = 100;
/// How long the log may take to find an event.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn explain(
    rpc: &ActionRpc,
    request: Request<ExplainNotificationRequest>,
) -> Result<ExplainNotificationResponse, Failure> {
    caller_of(&request)?;
    let ExplainNotificationRequest { event_id, event_source } = request.into_inner();
    required("event_id", &event_id)?;
    required("event_source", &event_source)?;
    let failed = |error| store_failed(&error);
    let mut snapshot = rpc.snapshots.begin(PATIENCE).await.map_err(failed)?;
    let stored = snapshot.find(EventKey::new(&event_source, &event_id)).await.map_err(failed)?;
    drop(snapshot);
    // Of one that the log has dropped, decisions may still be known.
    let (event_type, subject, position) =
        stored.as_ref().map_or(("", "", 0), |stored| (&stored.event_type, &stored.subject, stored.position));
    let event = DecidedEvent { source: &event_source, id: &event_id, event_type, subject, position };
    let mut decisions = rpc.ledger.of_event(&event).await.map_err(failed)?;
    let definitions = rpc.defined().await?;
    if let Some(stored) = &stored {
        only_of(stored, &event, &definitions, &mut decisions)?;
    }
    if stored.is_none() && decisions.is_empty() {
        return Err(no_such("event", &format!("{event_source}/{event_id}")));
    }
    let holds = Holds::new(health(rpc).await?, &definitions, rpc.clock.now());
    let mut explanations = Vec::new();
    for decision in decisions {
        explanations.push(explanation(rpc, decision, &holds).await?);
    }
    let decided: BTreeSet<String> = explanations.iter().map(|one| one.rule.clone()).collect();
    for rule in definitions.of(DefinitionKind::Rule).filter(|rule| !decided.contains(&rule.name)) {
        explanations.push(Explanation {
            rule: rule.name.clone(),
            rule_version: rule.version,
            summary: format!(
                "{} decided nothing: it does not mean this event, or is newer than it",
                rule.name
            ),
            ..Explanation::default()
        });
    }
    Ok(ExplainNotificationResponse { explanations })
}

/// The ledger says between which positions repeats were, and not which events they were: among them may be such as the rule does not
/// mean. Of a version that there is no more nobody can tell.
fn only_of(
    stored: &StoredEvent,
    event: &DecidedEvent<'_>,
    definitions: &Definitions,
    decisions: &mut Vec<cornjacket_store::Decision>,
) -> Result<(), Failure> {
    let is_its_own = |one: &cornjacket_store::Decision| {
        (one.source.as_str(), one.event_id.as_str()) == (event.source, event.id)
    };
    if decisions.iter().all(is_its_own) {
        return Ok(());
    }
    let rules = RuleSet::new(definitions);
    let delivered = delivered(stored)?;
    let mean: BTreeSet<&str> = meant(&rules, &delivered).iter().map(|one| one.rule.name()).collect();
    let is_of_now = |one: &cornjacket_store::Decision| {
        rules.rule(&one.rule).is_some_and(|rule| rule.version() == one.rule_version)
    };
    decisions.retain(|one| is_its_own(one) || !is_of_now(one) || mean.contains(one.rule.as_str()));
    Ok(())
}

async fn explanation(
    rpc: &ActionRpc,
    decision: cornjacket_store::Decision,
    holds: &Holds,
) -> Result<Explanation, Failure> {
    let told_by = told_by(rpc, &decision).await?;
    let filter = DeliveryFilter { decision: Some(told_by), ..DeliveryFilter::default() };
    let found = rpc.deliveries.list(&filter, None, SHOWN).await.map_err(|error| store_failed(&error))?;
    Ok(Explanation {
        rule: decision.rule.clone(),
        rule_version: decision.rule_version,
        summary: summary(&decision, &found, holds),
        decision: Some(to_proto(decision)),
        deliveries: found.iter().map(deliveries::to_proto).collect::<Vec<Delivery>>(),
    })
}

/// The decision behind the deliveries: that of a repeat is that of the one that it repeats, which may be told with others.
async fn told_by(rpc: &ActionRpc, decision: &cornjacket_store::Decision) -> Result<String, Failure> {
    let Some(because) = &decision.because else { return Ok(decision.id.clone()) };
    if decision.outcome == Outcome::Grouped {
        return Ok(because.clone());
    }
    let first = rpc.ledger.get(because).await.map_err(|error| store_failed(&error))?;
    let grouped = first.filter(|first| first.outcome == Outcome::Grouped).and_then(|first| first.because);
    Ok(grouped.unwrap_or_else(|| because.clone()))
}

fn summary(
    decision: &cornjacket_store::Decision,
    deliveries: &[cornjacket_store::Delivery],
    holds: &Holds,
) -> String {
    let rule = &decision.rule;
    match decision.outcome {
        Outcome::Sent if deliveries.is_empty() => {
            format!("{rule} told it; what came of that is no longer kept")
        }
        Outcome::Sent => format!("{rule} told it: {}", fates(deliveries, holds)),
        Outcome::Grouped if deliveries.is_empty() => format!("{rule} tells it: {}", decision.reason),
        Outcome::Grouped => format!("{rule} told it with others of its group: {}", fates(deliveries, holds)),
        Outcome::Deduplicated => format!("{rule} did not tell it again: {}", decision.reason),
        Outcome::Stale
        | Outcome::Loop
        | Outcome::Untold
        | Outcome::Silenced
        | Outcome::Muted
        | Outcome::Failed => {
            format!("{rule} did not tell it: {}", decision.reason)
        }
    }
}

/// As callers are told of it.
pub(super) fn to_proto(decision: cornjacket_store::Decision) -> Decision {
    let outcome = match decision.outcome {
        Outcome::Sent => decision::Outcome::Sent,
        Outcome::Deduplicated => decision::Outcome::Deduplicated,
        Outcome::Stale => decision::Outcome::Stale,
        Outcome::Loop => decision::Outcome::Loop,
        Outcome::Untold => decision::Outcome::Untold,
        Outcome::Silenced => decision::Outcome::Silenced,
        Outcome::Grouped => decision::Outcome::Grouped,
        Outcome::Muted => decision::Outcome::Muted,
        Outcome::Failed => decision::Outcome::Failed,
    };
    Decision {
        id: decision.id,
        rule: decision.rule,
        rule_version: decision.rule_version,
        event_source: decision.source,
        event_id: decision.event_id,
        position: decision.position,
        event_type: decision.event_type,
        subject: decision.subject,
        outcome: outcome.into(),
        reason: decision.reason,
        because: decision.because.unwrap_or_default(),
        count: decision.count,
        first_time: Some(decision.first_time.to_proto()),
        last_time: Some(decision.last_time.to_proto()),
        last_position: decision.last_position,
    }
}
