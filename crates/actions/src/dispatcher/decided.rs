//! What is decided of a batch: event by event, with what is known and what was decided before.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cornjacket_domain::Timestamp;
use cornjacket_store::{
    Alarm, Decision, Group, GroupKey, NewDelivery, Outcome, StoreError, Tx, Window, WindowKey,
};

use super::meant::{How, Meant};
use crate::AlarmChange;
use crate::alarms;
use crate::decide::{Decisions, Happening, Terms};
use crate::groups;
use crate::rule_set::RuleSet;

/// What is known before anything is decided; by default nothing.
#[derive(Default)]
pub struct Known {
    windows: HashMap<WindowKey, Window>,
    alarms: BTreeMap<String, Alarm>,
    groups: HashMap<GroupKey, Group>,
}

impl Known {
    /// What the store knows of what a batch is about.
    pub async fn of(tx: &mut dyn Tx, meant: &[Meant<'_>]) -> Result<Self, StoreError> {
        let keys: BTreeSet<WindowKey> = meant.iter().filter_map(Meant::window).collect();
        let windows = if keys.is_empty() {
            HashMap::new()
        } else {
            tx.windows(&keys.into_iter().collect::<Vec<_>>()).await?
        };
        let keys: BTreeSet<&String> = meant.iter().filter_map(Meant::alarm).collect();
        let alarms = if keys.is_empty() {
            HashMap::new()
        } else {
            tx.lock_alarms(&keys.into_iter().cloned().collect::<Vec<_>>()).await?
        };
        // Always behind alarms, so that two that want both do not wait for each other.
        let keys = groups_of(meant, &alarms);
        let groups = if keys.is_empty() {
            HashMap::new()
        } else {
            tx.lock_groups(&keys.into_iter().collect::<Vec<_>>()).await?
        };
        Ok(Self { windows, alarms: alarms.into_iter().collect(), groups })
    }
}

/// The groups that something may be told with: those of alarms as they are, and those of alarms that are yet to be raised. One whose
/// key cannot be found out is told of when it is decided on.
fn groups_of(meant: &[Meant<'_>], alarms: &HashMap<String, Alarm>) -> BTreeSet<GroupKey> {
    let known =
        |one: &Meant<'_>| one.alarm().and_then(|key| alarms.get(key)).map(|alarm| one.group(Some(alarm)));
    let all = meant.iter().flat_map(|one| known(one).into_iter().chain([one.group(None)]));
    all.filter_map(Result::unwrap_or_default).collect()
}

/// One line for each rule that could not decide, or find words.
fn say_failures(decisions: &[Decision]) {
    let failed = decisions.iter().filter(|one| one.outcome == Outcome::Failed);
    let of_rules: BTreeMap<&str, &Decision> = failed.map(|one| (one.rule.as_str(), one)).collect();
    for (rule, Decision { source, event_id, reason, .. }) in of_rules {
        tracing::warn!(
            rule,
            event_source = source,
            event_id,
            reason,
            "a rule tells nothing of an event: it fails"
        );
    }
}

/// What is decided.
pub struct Decided<'a> {
    rules: &'a RuleSet,
    known: Known,
    now: Timestamp,
    decisions: Decisions,
    deliveries: Vec<NewDelivery>,
    /// Alarms that are not as they were.
    changed: BTreeSet<String>,
    /// Groups, likewise.
    joined: BTreeSet<GroupKey>,
    /// What was added to a group last, before it is told with others.
    added: Vec<NewDelivery>,
}

impl<'a> Decided<'a> {
    /// Nothing yet.
    pub fn new(rules: &'a RuleSet, known: Known, now: Timestamp) -> Self {
        let (decisions, deliveries) = (Decisions::default(), Vec::new());
        let (changed, joined) = (BTreeSet::new(), BTreeSet::new());
        Self { rules, known, now, decisions, deliveries, changed, joined, added: Vec::new() }
    }

    /// Decides on one more.
    pub fn add(&mut self, meant: &Meant<'_>) {
        if let Some(decision) = self.decide(meant) {
            self.decisions.add(decision);
        }
    }

    /// Decides on one more as if it were that time, for who does not write it: the decision by itself, and what is told of it, by
    /// itself or with others.
    pub fn tried(&mut self, meant: &Meant<'_>, now: Timestamp) -> Option<(Decision, Vec<NewDelivery>)> {
        self.now = now;
        self.pass(meant);
        let decision = self.decide(meant)?;
        let (mut told, added) = (std::mem::take(&mut self.deliveries), std::mem::take(&mut self.added));
        told.extend(added);
        // Over a long history that would be all of it.
        for key in std::mem::take(&mut self.joined) {
            self.known.groups.entry(key).and_modify(groups::forget);
        }
        Some((decision, told))
    }

    /// Has the group that something falls into told when its time has come: nobody else does, where nothing is written.
    fn pass(&mut self, meant: &Meant<'_>) {
        let alarm = meant.alarm().and_then(|key| self.known.alarms.get(key));
        // A group whose key cannot be found out is told of when it is decided on.
        let key = meant.group(alarm).unwrap_or_default();
        if let Some(group) = key.and_then(|key| self.known.groups.get_mut(&key)) {
            groups::pass(group, self.now);
        }
    }

    /// Nothing, where there is nothing to end.
    fn decide(&mut self, meant: &Meant<'_>) -> Option<Decision> {
        let (terms, happening) = (meant.terms(), meant.happening());
        let decision = match &meant.how {
            How::Tell => self.tell(meant, &terms, &happening),
            How::Raise(key) => self.raise(meant, key, &terms, &happening),
            How::Clear(key) => match self.clear(meant, key, &terms, &happening) {
                Ok(None) => return None,
                Ok(Some(decision)) => Ok(decision),
                Err(trouble) => Err(trouble),
            },
            How::Trouble(trouble) => Err(trouble.clone()),
        };
        Some(decision.unwrap_or_else(|trouble| terms.failed(&happening, trouble)))
    }

    /// Writes everything.
    pub async fn write(self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let decisions = self.decisions.all();
        say_failures(decisions);
        for decision in decisions {
            let outcome = decision.outcome.name();
            metrics::counter!("cornjacket_actions_decisions_total", "outcome" => outcome)
                .increment(decision.count);
        }
        if !decisions.is_empty() {
            tx.decide(decisions).await?;
        }
        let alarms = self.known.alarms;
        let changed: Vec<Alarm> =
            alarms.into_values().filter(|alarm| self.changed.contains(&alarm.key)).collect();
        if !changed.is_empty() {
            tx.put_alarms(&changed).await?;
        }
        let groups = self.known.groups;
        let joined: Vec<Group> =
            groups.into_values().filter(|group| self.joined.contains(&group.id)).collect();
        if !joined.is_empty() {
            tx.put_groups(&joined).await?;
        }
        if !self.deliveries.is_empty() {
            tx.deliver(&self.deliveries).await?;
        }
        Ok(())
    }

    fn tell(
        &mut self,
        meant: &Meant<'_>,
        terms: &Terms<'_>,
        event: &Happening<'_>,
    ) -> Result<Decision, String> {
        if let Some(refused) = self.refuses(meant, terms, event) {
            return Ok(refused);
        }
        let key = meant.window();
        let window = key.as_ref().and_then(|key| self.known.windows.get(key));
        if let Some(repeat) = terms.by_window(event, window) {
            return Ok(repeat);
        }
        let decision = self.deliver(meant, terms, event, AlarmChange::None, meant.group(None)?)?;
        let window = Window { decision: decision.id.clone(), since: event.stored };
        self.known.windows.extend(key.map(|key| (key, window)));
        Ok(decision)
    }

    /// The alarm lasts, whether that is told or not; it is told with the first event that may be told.
    fn raise(
        &mut self,
        meant: &Meant<'_>,
        key: &str,
        terms: &Terms<'_>,
        event: &Happening<'_>,
    ) -> Result<Decision, String> {
        let said = meant.said(key)?;
        let before = self.known.alarms.get(key);
        let group = meant.group(before)?;
        let Some((mut alarm, change)) = alarms::raise(before, &said) else {
            let known = before.ok_or("the alarm is older than itself")?;
            return Ok(terms.overtaken(event, known));
        };
        let change = if alarm.told { change } else { AlarmChange::Raised };
        let decision = match self.refuses(meant, terms, event) {
            Some(refused) => {
                // That it matters more or less is told with the first event that may be told.
                alarm.severity = before.filter(|_| alarm.told).map_or(alarm.severity, |known| known.severity);
                refused
            }
            None if change == AlarmChange::None => terms.by_alarm(event, &alarm),
            None => {
                let decision = self.deliver(meant, terms, event, change, group)?;
                alarm.told = true;
                if change == AlarmChange::Raised {
                    alarm.decision.clone_from(&decision.id);
                }
                decision
            }
        };
        self.keep(alarm);
        Ok(decision)
    }

    /// Nothing, where there is nothing to end.
    fn clear(
        &mut self,
        meant: &Meant<'_>,
        key: &str,
        terms: &Terms<'_>,
        event: &Happening<'_>,
    ) -> Result<Option<Decision>, String> {
        let before = self.known.alarms.get(key);
        let Some(mut alarm) = before.and_then(|alarm| alarms::clear(alarm, event.position, event.stored))
        else {
            return Ok(None);
        };
        // Also late: what was told to last would last for ever.
        let decision = if alarm.told {
            let group = meant.group(before)?;
            self.deliver(meant, terms, event, AlarmChange::Cleared, group)?
        } else {
            terms.ends_unseen(event, &alarm)
        };
        alarm.told = false;
        self.keep(alarm);
        Ok(Some(decision))
    }

    /// What becomes of an event that is not told now, whatever was told before.
    fn refuses(&self, meant: &Meant<'_>, terms: &Terms<'_>, event: &Happening<'_>) -> Option<Decision> {
        let refused = terms.refuses(event, self.now);
        let refused = refused.or_else(|| {
            let silence = self.rules.silence(&meant.facts(), self.now)?;
            Some(terms.silenced(event, silence.reason()))
        });
        refused.or_else(|| Some(terms.muted(event, meant.rule.muted(self.now)?)))
    }

    /// It is told: by itself, or with others of its group.
    fn deliver(
        &mut self,
        meant: &Meant<'_>,
        terms: &Terms<'_>,
        event: &Happening<'_>,
        change: AlarmChange,
        group: Option<GroupKey>,
    ) -> Result<Decision, String> {
        let sent = terms.sent(event);
        let deliveries = meant.deliveries(&sent.id, self.rules, change, self.now)?;
        let Some(key) = group else {
            self.deliveries.extend(deliveries);
            return Ok(sent);
        };
        let pace = meant.rule.pace().unwrap_or(groups::AT_ONCE);
        let group = self.known.groups.entry(key.clone()).or_insert_with(|| Group::new(key.clone()));
        let (telling, due) = groups::join(group, pace, &deliveries, self.now)?;
        let reason = format!("told with others of its group {:?}, at {}", key.key, due.to_proto());
        self.joined.insert(key);
        self.added = deliveries;
        Ok(terms.grouped(event, telling, reason))
    }

    fn keep(&mut self, alarm: Alarm) {
        self.changed.insert(alarm.key.clone());
        self.known.alarms.insert(alarm.key.clone(), alarm);
    }
}
