//! Groups: what waits to be told together, and when it is told.
//!
//! What a decision adds to a group is kept with the decision, and becomes deliveries when the group's time has come, each in one
//! transaction: it is told once, whoever dies. A group of alarms is an alarm of its own.

use std::time::Duration;

use cornjacket_domain::Timestamp;
use cornjacket_store::{Group, GroupKey, Lasting, NewDelivery, StoreError, Tx};
use prost::Message as _;

use crate::dispatcher::meant;
use crate::gathered::{As, Gathered, Name, SHOWN};
use crate::rule_set::RuleSet;
use crate::rules::Pace;
use crate::{AlarmChange, Message, ids};

/// Groups that are told at once, at the most.
const MOST: u32 = 64;

/// What waits in a group. It is kept as protobuf bytes; fields are only ever added.
#[derive(Clone, PartialEq, prost::Message)]
struct Waiting {
    /// What deliveries call the decision behind them; empty when nothing waits.
    #[prost(string, tag = "1")]
    telling: String,
    /// What is told to each endpoint.
    #[prost(message, repeated, tag = "2")]
    parts: Vec<Part>,
    /// Microseconds after which it is told again, while an alarm of it lasts; 0 for never.
    #[prost(uint64, tag = "3")]
    repeat: u64,
    /// Whether it is a group of alarms.
    #[prost(bool, tag = "4")]
    has_alarms: bool,
}

/// What waits to be told to one endpoint.
#[derive(Clone, PartialEq, prost::Message)]
struct Part {
    /// Whom.
    #[prost(string, tag = "1")]
    endpoint: String,
    /// The most urgent of it.
    #[prost(int32, tag = "2")]
    priority: i32,
    /// Whether it may be told with what piles up.
    #[prost(bool, tag = "3")]
    gathers: bool,
    /// What.
    #[prost(message, required, tag = "4")]
    gathered: Gathered,
}

/// Of a group whose rule has none any more: what is left of it is told at once.
pub const AT_ONCE: Pace = Pace { wait: Duration::ZERO, interval: Duration::ZERO, repeat: None };

/// Adds to a group what would be told by itself: deliveries of one decision. What it is told under, and when.
pub fn join(
    group: &mut Group,
    pace: Pace,
    deliveries: &[NewDelivery],
    now: Timestamp,
) -> Result<(String, Timestamp), String> {
    let mut waiting = Waiting::of(group)?;
    if waiting.telling.is_empty() {
        let decision = deliveries.first().map_or("", |one| one.decision.as_str());
        waiting.telling = ids::telling(&group.id.rule, &group.id.key, decision);
        let earliest = group.told.map_or(now, |told| told + pace.interval);
        let due = earliest.max(now + pace.wait);
        // What lasts may be told again before.
        group.due = Some(group.due.map_or(due, |again| again.min(due)));
    }
    waiting.repeat = pace.repeat.map_or(0, |repeat| u64::try_from(repeat.as_micros()).unwrap_or(u64::MAX));
    for delivery in deliveries {
        waiting.add(delivery)?;
    }
    let told = (waiting.telling.clone(), group.due.unwrap_or(now));
    group.waiting = waiting.encode_to_vec();
    Ok(told)
}

/// Forgets what waits in a group, but not that something does: for who only tries.
pub fn forget(group: &mut Group) {
    // What does not decode is told of when more is added to it.
    if let Ok(waiting) = Waiting::of(group) {
        group.waiting = Waiting { parts: Vec::new(), ..waiting }.encode_to_vec();
    }
}

/// What waits in a group is told when its time has come, for who only tries: nothing is, and what lasts is not told again.
pub fn pass(group: &mut Group, now: Timestamp) {
    if let Some(due) = group.due.filter(|due| *due <= now) {
        (group.told, group.due) = (Some(due), None);
        group.waiting.clear();
    }
}

/// Has what waits in groups told whose time has come.
pub async fn tell_due(tx: &mut dyn Tx, rules: &RuleSet, now: Timestamp) -> Result<(), StoreError> {
    let mut groups = tx.due_groups(now, MOST).await?;
    for group in &mut groups {
        if let Err(error) = tell(tx, rules, group, now).await? {
            let GroupKey { rule, key } = &group.id;
            tracing::error!(rule, group = key, error, "what waits in a group cannot be told");
            group.due = None;
        }
    }
    if groups.is_empty() { Ok(()) } else { tx.put_groups(&groups).await }
}

async fn tell(
    tx: &mut dyn Tx,
    rules: &RuleSet,
    group: &mut Group,
    now: Timestamp,
) -> Result<Result<(), String>, StoreError> {
    let mut waiting = match Waiting::of(group) {
        Ok(waiting) => waiting,
        Err(error) => return Ok(Err(error)),
    };
    let lasting =
        if waiting.has_alarms { tx.lasting_alarms(&group.id, SHOWN).await? } else { Lasting::default() };
    if waiting.telling.is_empty()
        && let Err(error) = waiting.remind(&group.id, &lasting, rules, now)
    {
        return Ok(Err(error));
    }
    let mut deliveries = waiting.deliveries(&group.id, &lasting, now);
    // Nobody is there to be told, and nobody would give it up.
    deliveries.retain(|one| rules.escape(&one.endpoint).is_some());
    if !deliveries.is_empty() {
        tx.deliver(&deliveries).await?;
        group.told = Some(now);
    }
    let repeat = Some(waiting.repeat).filter(|repeat| *repeat > 0 && !lasting.open.is_empty());
    group.due = repeat.map(|repeat| now + Duration::from_micros(repeat));
    // Once none lasts it is no group of alarms any more: the rule may have become one without.
    let has_alarms = waiting.has_alarms && lasting.count > 0;
    let told = Waiting { telling: String::new(), parts: Vec::new(), has_alarms, ..waiting };
    group.waiting = told.encode_to_vec();
    Ok(Ok(()))
}

impl Waiting {
    fn of(group: &Group) -> Result<Self, String> {
        Self::decode(group.waiting.as_slice()).map_err(|error| format!("a group does not decode: {error}"))
    }

    fn add(&mut self, delivery: &NewDelivery) -> Result<(), String> {
        let message = Message::decode(delivery.message.as_slice());
        let message = message.map_err(|error| format!("what is to be told does not decode: {error}"))?;
        self.has_alarms |= !message.alarm_key.is_empty();
        let priority = i32::from(delivery.priority);
        let known = self.parts.iter().position(|part| part.endpoint == delivery.endpoint);
        let place = known.unwrap_or(self.parts.len());
        if known.is_none() {
            let endpoint = delivery.endpoint.clone();
            self.parts.push(Part { endpoint, priority, gathers: false, gathered: Gathered::default() });
        }
        let part = &mut self.parts[place];
        part.priority = part.priority.min(priority);
        part.gathers = delivery.gathers;
        part.gathered.add(message);
        Ok(())
    }

    /// Nothing new: what lasts, and nobody has taken on, is told again, unless the rule would not tell it now.
    fn remind(
        &mut self,
        id: &GroupKey,
        lasting: &Lasting,
        rules: &RuleSet,
        now: Timestamp,
    ) -> Result<(), String> {
        for alarm in &lasting.open {
            let reminder = meant::reminder(alarm, rules, now).unwrap_or_else(|error| {
                tracing::error!(alarm = alarm.key, error, "an alarm that lasts cannot be told of again");
                Vec::new()
            });
            for delivery in reminder {
                self.add(&delivery)?;
            }
        }
        let others = lasting.open_count - lasting.open.len() as u64;
        self.parts.iter_mut().for_each(|part| part.gathered.count += others);
        self.telling = ids::telling(&id.rule, &id.key, &now.as_micros().to_string());
        Ok(())
    }

    fn deliveries(&self, id: &GroupKey, lasting: &Lasting, now: Timestamp) -> Vec<NewDelivery> {
        let name = Name { told_as: As::Group, id: &self.telling, group: &id.key, now };
        let delivery = |part: &Part| {
            let mut message = part.gathered.message(&name)?;
            let first = part.gathered.items.first()?;
            if self.has_alarms {
                message.alarm_key = alarm_key(id);
                message.alarm_change = change(lasting).into();
            }
            Some(NewDelivery {
                id: ids::delivery(&self.telling, &part.endpoint),
                endpoint: part.endpoint.clone(),
                decision: self.telling.clone(),
                rule: message.rule.clone(),
                rule_version: message.rule_version,
                source: first.source.clone(),
                event_id: first.id.clone(),
                order_key: alarm_key(id),
                // What says that all is over must not arrive before what it is about.
                ordered: self.has_alarms,
                gathers: part.gathers,
                priority: i16::try_from(part.priority).unwrap_or_default(),
                message: message.encode_to_vec(),
                now,
            })
        };
        self.parts.iter().filter_map(delivery).collect()
    }
}

/// What a group of alarms is known by, as an alarm.
fn alarm_key(id: &GroupKey) -> String {
    let GroupKey { rule, key } = id;
    if key.is_empty() { format!("group/{rule}") } else { format!("group/{rule}/{key}") }
}

/// What has become of a group of alarms.
const fn change(lasting: &Lasting) -> AlarmChange {
    match (lasting.count, lasting.open.is_empty()) {
        (0, _) => AlarmChange::Cleared,
        (_, true) => AlarmChange::Acknowledged,
        (_, false) => AlarmChange::Raised,
    }
}
