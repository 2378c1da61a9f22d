//! Events that rules mean.

use cornjacket_bus::Delivered;
use cornjacket_domain::Timestamp;
use cornjacket_proto::actions::Severity;
use cornjacket_proto::events::Event;
use cornjacket_store::{Alarm, AlarmState, GroupKey, NewDelivery, WindowKey};
use prost::Message as _;

use crate::alarms::{self, Said};
use crate::decide::{Happening, Terms};
use crate::rule_set::RuleSet;
use crate::rules::{Escape, Rendered, Rule, View};
use crate::silences::Facts;
use crate::{AlarmChange, Message, ids, said};

/// An event that a rule looks at and means, or of which that could not be found out.
pub struct Meant<'a> {
    pub event: &'a Delivered,
    pub rule: &'a Rule,
    pub how: How,
}

/// How a rule means an event.
pub enum How {
    /// It is told by itself.
    Tell,
    /// It raises the alarm of that key.
    Raise(String),
    /// The alarm of that key is over with it.
    Clear(String),
    /// It could not be found out, for that reason.
    Trouble(String),
}

/// The rules that mean an event.
pub fn meant<'a>(rules: &'a RuleSet, event: &'a Delivered) -> Vec<Meant<'a>> {
    let view = View::new(&event.event);
    let meant = |rule: &'a Rule| how(rule, &view).map(|how| Meant { event, rule, how });
    rules.looking_at(event).filter_map(meant).collect()
}

fn how(rule: &Rule, view: &View<'_>) -> Option<How> {
    let found = || {
        if rule.holds(view).map_err(|error| error.to_string())? {
            let key = rule.alarm_key(view).map_err(|error| error.to_string())?;
            return Ok(Some(key.map_or(How::Tell, How::Raise)));
        }
        if rule.clears(view).map_err(|error| error.to_string())? {
            return Ok(rule.alarm_key(view).map_err(|error| error.to_string())?.map(How::Clear));
        }
        Ok(None)
    };
    found().unwrap_or_else(|trouble| Some(How::Trouble(trouble)))
}

impl Meant<'_> {
    /// What it would be a repeat of; nothing where an alarm says that.
    pub fn window(&self) -> Option<WindowKey> {
        matches!(self.how, How::Tell).then(|| WindowKey {
            rule: self.rule.name().to_owned(),
            event_type: self.event.event.r#type.clone(),
            subject: self.event.event.subject.clone(),
        })
    }

    /// The key of the alarm that it is about.
    pub fn alarm(&self) -> Option<&String> {
        match &self.how {
            How::Raise(key) | How::Clear(key) => Some(key),
            How::Tell | How::Trouble(_) => None,
        }
    }

    pub fn terms(&self) -> Terms<'_> {
        Terms {
            rule: self.rule.name(),
            version: self.rule.version(),
            window: self.rule.deduplication_window(),
            max_age: self.rule.max_age(),
        }
    }

    pub fn happening(&self) -> Happening<'_> {
        let event = &self.event.event;
        Happening {
            source: &event.source,
            id: &event.id,
            event_type: &event.r#type,
            subject: &event.subject,
            position: event.position,
            stored: self.event.ingest_time,
            depth: said::depth(event),
        }
    }

    /// What silences look at.
    pub fn facts(&self) -> Facts<'_> {
        let event = &self.event.event;
        Facts {
            rule: self.rule.name(),
            event_type: &event.r#type,
            subject: &event.subject,
            source: &event.source,
            severity: self.rule.severity(event),
        }
    }

    /// The key of the group that it falls into.
    pub fn group_key(&self) -> Result<Option<String>, String> {
        self.rule.group_key(&View::new(&self.event.event)).map_err(|error| error.to_string())
    }

    /// The group that it is told with: that of the alarm that lasts, else its own. None where the rule tells each by itself.
    pub fn group(&self, alarm: Option<&Alarm>) -> Result<Option<GroupKey>, String> {
        if let Some(alarm) = alarm.filter(|alarm| alarm.state != AlarmState::Cleared) {
            return Ok(alarms::group(alarm));
        }
        Ok(self.group_key()?.map(|key| GroupKey { rule: self.rule.name().to_owned(), key }))
    }

    /// What it says of the alarm of that key.
    pub fn said(&self, key: &str) -> Result<Said, String> {
        let (event, rule) = (&self.event.event, self.rule);
        let words = rule.render(&View::new(event), Escape::Plain).map_err(|error| error.to_string())?;
        Ok(Said {
            key: key.to_owned(),
            severity: severity(rule.severity(event)),
            rule: rule.name().to_owned(),
            rule_version: rule.version(),
            decision: ids::decision(rule.name(), &event.source, &event.id),
            source: event.source.clone(),
            event_id: event.id.clone(),
            subject: event.subject.clone(),
            title: words.title,
            group: self.group_key()?,
            event: event.encode_to_vec(),
            position: event.position,
            stored: self.event.ingest_time,
        })
    }

    /// What is told to every endpoint of the rule, perhaps of a change to an alarm.
    pub fn deliveries(
        &self,
        decision: &str,
        rules: &RuleSet,
        change: AlarmChange,
        now: Timestamp,
    ) -> Result<Vec<NewDelivery>, String> {
        let (event, rule) = (&self.event.event, self.rule);
        let (view, severity) = (View::new(event), rule.severity(event));
        let key = self.alarm().cloned().unwrap_or_default();
        let delivery = |endpoint: &String| {
            let escape =
                rules.escape(endpoint).ok_or_else(|| format!("there is no endpoint {endpoint:?}"))?;
            let words = match rule.render(&view, escape) {
                // Its words may be for what raises it alone; that it is over is told all the same.
                Err(_) if change == AlarmChange::Cleared => {
                    Rendered { title: format!("{} is over", rule.name()), text: String::new() }
                }
                words => words.map_err(|error| error.to_string())?,
            };
            let message = Message {
                rule: rule.name().to_owned(),
                rule_version: rule.version(),
                severity: severity.into(),
                title: words.title,
                text: words.text,
                event: Some(event.clone()),
                alarm_key: key.clone(),
                alarm_change: change.into(),
                is_test: false,
            };
            Ok(NewDelivery {
                id: ids::delivery(decision, endpoint),
                endpoint: endpoint.clone(),
                decision: decision.to_owned(),
                rule: rule.name().to_owned(),
                rule_version: rule.version(),
                source: event.source.clone(),
                event_id: event.id.clone(),
                order_key: if key.is_empty() { event.subject.clone() } else { format!("alarm {key}") },
                // What ends an alarm must not arrive before what raised it.
                ordered: !key.is_empty(),
                gathers: rule.gathers() && key.is_empty(),
                priority: priority(severity),
                message: message.encode_to_vec(),
                now,
            })
        };
        rule.endpoints().iter().map(delivery).collect()
    }
}

/// What is told of an alarm that lasts, and that a person or time has changed: by the rule that raised it, about the event that did,
/// under that id. Nothing when there is no such rule any more.
pub fn of_alarm(
    alarm: &Alarm,
    rules: &RuleSet,
    (id, change): (&str, AlarmChange),
    now: Timestamp,
) -> Result<Vec<NewDelivery>, String> {
    let Some(rule) = rules.rule(&alarm.rule) else { return Ok(Vec::new()) };
    let delivered = raised_by(alarm)?;
    let meant = Meant { event: &delivered, rule, how: How::Raise(alarm.key.clone()) };
    meant.deliveries(id, rules, change, now)
}

/// What is told again of an alarm that lasts. Nothing while its rule would not tell it.
pub fn reminder(alarm: &Alarm, rules: &RuleSet, now: Timestamp) -> Result<Vec<NewDelivery>, String> {
    let Some(rule) = rules.rule(&alarm.rule).filter(|rule| !rule.is_disabled()) else {
        return Ok(Vec::new());
    };
    let delivered = raised_by(alarm)?;
    let meant = Meant { event: &delivered, rule, how: How::Raise(alarm.key.clone()) };
    if rules.silence(&meant.facts(), now).is_some() || rule.muted(now).is_some() {
        return Ok(Vec::new());
    }
    meant.deliveries(&alarm.decision, rules, AlarmChange::None, now)
}

fn raised_by(alarm: &Alarm) -> Result<Delivered, String> {
    let event = Event::decode(alarm.event.as_slice());
    let event = event.map_err(|error| format!("the event of an alarm does not decode: {error}"))?;
    Ok(Delivered { offset: 0, ingest_time: alarm.raised, event })
}

/// As it is kept.
pub fn severity(severity: Severity) -> i16 {
    i16::try_from(i32::from(severity)).unwrap_or_default()
}

/// What matters more goes first.
pub const fn priority(severity: Severity) -> i16 {
    match severity {
        Severity::Critical | Severity::Error => 0,
        Severity::Warning | Severity::Unspecified => 1,
        Severity::Info => 2,
    }
}
