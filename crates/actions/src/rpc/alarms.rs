//! Alarms: listed, taken on, and ended by people.

use cornjacket_domain::page::{self, Cursor};
use cornjacket_domain::{Timestamp, id_of};
use cornjacket_proto::actions::alarm::State;
use cornjacket_proto::actions::{
    AcknowledgeAlarmRequest, Alarm, ClearAlarmRequest, ListAlarmsRequest, ListAlarmsResponse,
};
use cornjacket_proto::status::{ErrorKind, Failure};
use cornjacket_store::audit::Action;
use cornjacket_store::{AlarmState, Group, NewDelivery, Tx};
use tonic::Request;

use super::{ActionRpc, caller_of, no_such, required, store_failed};
use crate::dispatcher::meant::of_alarm;
use crate::rule_set::RuleSet;
use crate::rules::Rule;
use crate::{AlarmChange, alarms, groups};

pub(super) async fn list(
    rpc: &ActionRpc,
    request: Request<ListAlarmsRequest>,
) -> Result<ListAlarmsResponse, Failure> {
    caller_of(&request)?;
    let ListAlarmsRequest { state, page_size, page_token } = request.into_inner();
    let state = state_of(state)?;
    let (size, cursor) = (page::size(page_size)?, Cursor::of(format!("alarms {state:?}")));
    let after: String = cursor.read(&page_token)?.unwrap_or_default();
    let found = rpc.alarms.list(state, &after, size + 1).await.map_err(|error| store_failed(&error))?;
    let (shown, rest) = found.split_at(found.len().min(size as usize));
    let next = shown.last().filter(|_| !rest.is_empty()).map(|last| cursor.write(&last.key));
    let alarms = shown.iter().map(to_proto).collect();
    Ok(ListAlarmsResponse { alarms, next_page_token: next.unwrap_or_default() })
}

pub(super) async fn acknowledge(
    rpc: &ActionRpc,
    request: Request<AcknowledgeAlarmRequest>,
) -> Result<Alarm, Failure> {
    let caller = caller_of(&request)?;
    let key = request.into_inner().key;
    let action = Action::new(&caller, "acknowledge", resource(&key)?);
    let now = rpc.clock.now();
    change(rpc, &key, &action, AlarmChange::Acknowledged, |alarm| {
        if alarm.state == AlarmState::Cleared {
            let message = format!("the alarm {key:?} is over");
            return Err(Failure::new(ErrorKind::FailedPrecondition, message).with_reason("CLEARED", []));
        }
        Ok(alarms::acknowledge(alarm, action.caller.name(), now))
    })
    .await
}

pub(super) async fn clear(rpc: &ActionRpc, request: Request<ClearAlarmRequest>) -> Result<Alarm, Failure> {
    let caller = caller_of(&request)?;
    let key = request.into_inner().key;
    let action = Action::new(&caller, "clear", resource(&key)?);
    let now = rpc.clock.now();
    change(rpc, &key, &action, AlarmChange::Cleared, |alarm| {
        // After what is known of it, and before whatever comes.
        let last = alarm.last_position;
        let cleared = alarms::clear(alarm, last + 1, now);
        Ok(cleared.map(|cleared| cornjacket_store::Alarm { last_position: last, ..cleared }))
    })
    .await
}

fn resource(key: &str) -> Result<String, Failure> {
    required("key", key)?;
    if !cornjacket_domain::clean::is_printable(key) {
        return Err(Failure::invalid("key", "has a control character", "GRAMMAR"));
    }
    Ok(format!("alarms/{key}"))
}

/// Changes an alarm, and has its endpoints told, in one transaction. What changes nothing is done already.
async fn change(
    rpc: &ActionRpc,
    key: &str,
    action: &Action<'_>,
    change: AlarmChange,
    next: impl Fn(&cornjacket_store::Alarm) -> Result<Option<cornjacket_store::Alarm>, Failure> + Send + Sync,
) -> Result<Alarm, Failure> {
    let failed = |error| store_failed(&error);
    let mut tx = rpc.offsets.begin_apart().await.map_err(failed)?;
    let found = tx.lock_alarms(&[key.to_owned()]).await.map_err(failed)?;
    let before = found.get(key).ok_or_else(|| no_such("alarm", key))?;
    let Some(mut alarm) = next(before)? else { return Ok(to_proto(before)) };
    action.record(rpc.log.as_ref(), rpc.clock.now()).await?;
    let rules = RuleSet::new(&tx.definitions().await.map_err(failed)?);
    // Nobody is told of the end of what nobody was told of.
    if alarm.told {
        tell(tx.as_mut(), &alarm, &rules, change, rpc.clock.now()).await?;
    }
    alarm.told &= alarm.state != AlarmState::Cleared;
    tx.put_alarms(std::slice::from_ref(&alarm)).await.map_err(failed)?;
    tx.commit().await.map_err(failed)?;
    Ok(to_proto(&alarm))
}

/// Has a change told that a person makes: with the group of the alarm, where it has one. Nobody is told when there is no such rule
/// any more.
async fn tell(
    tx: &mut dyn Tx,
    alarm: &cornjacket_store::Alarm,
    rules: &RuleSet,
    change: AlarmChange,
    now: Timestamp,
) -> Result<(), Failure> {
    let failed = |error| store_failed(&error);
    let broken = |error: String| {
        tracing::error!(error, alarm = alarm.key, "an alarm cannot be told of");
        Failure::new(ErrorKind::Internal, "the alarm cannot be told of")
    };
    // Of this change alone, and kept with the decision that raised the alarm.
    let id = id_of([change.name().unwrap_or_default(), &alarm.decision, &now.as_micros().to_string()]);
    let deliveries = of_alarm(alarm, rules, (&id, change), now).map_err(broken)?;
    let Some(key) = alarms::group(alarm) else {
        let decision = &alarm.decision;
        let deliveries: Vec<_> =
            deliveries.into_iter().map(|one| NewDelivery { decision: decision.clone(), ..one }).collect();
        return if deliveries.is_empty() { Ok(()) } else { tx.deliver(&deliveries).await.map_err(failed) };
    };
    let pace = rules.rule(&alarm.rule).and_then(Rule::pace).unwrap_or(groups::AT_ONCE);
    let mut found = tx.lock_groups(std::slice::from_ref(&key)).await.map_err(failed)?;
    let mut group = found.remove(&key).unwrap_or_else(|| Group::new(key));
    groups::join(&mut group, pace, &deliveries, now).map_err(broken)?;
    tx.put_groups(&[group]).await.map_err(failed)
}

fn state_of(state: i32) -> Result<Option<AlarmState>, Failure> {
    match State::try_from(state) {
        Ok(State::Unspecified) => Ok(None),
        Ok(State::Open) => Ok(Some(AlarmState::Open)),
        Ok(State::Acknowledged) => Ok(Some(AlarmState::Acknowledged)),
        Ok(State::Cleared) => Ok(Some(AlarmState::Cleared)),
        Err(_) => Err(Failure::invalid("state", "is no state of an alarm", "OUT_OF_RANGE")),
    }
}

fn to_proto(alarm: &cornjacket_store::Alarm) -> Alarm {
    let state = match alarm.state {
        AlarmState::Open => State::Open,
        AlarmState::Acknowledged => State::Acknowledged,
        AlarmState::Cleared => State::Cleared,
    };
    let (at, by) = alarm.acknowledged.clone().unzip();
    Alarm {
        key: alarm.key.clone(),
        state: state.into(),
        severity: alarm.severity.into(),
        rule: alarm.rule.clone(),
        rule_version: alarm.rule_version,
        decision: alarm.decision.clone(),
        event_source: alarm.source.clone(),
        event_id: alarm.event_id.clone(),
        subject: alarm.subject.clone(),
        title: alarm.title.clone(),
        raised_count: alarm.raised_count,
        event_count: alarm.event_count,
        raise_time: Some(alarm.raised.to_proto()),
        acknowledge_time: at.map(Timestamp::to_proto),
        acknowledged_by: by.flatten().unwrap_or_default(),
        clear_time: alarm.cleared.map(Timestamp::to_proto),
        last_position: alarm.last_position,
    }
}
