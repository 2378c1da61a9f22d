//! What becomes of an alarm. Pure.
//!
//! ```text
//!            raise              acknowledge
//!   (none) ────────► open ─────────────────► acknowledged
//!                    │  ▲                        │
//!              clear │  │ raise                  │ clear
//!                    ▼  │                        ▼
//!                  cleared ◄─────────────────────┘
//! ```
//!
//! What raises it while it lasts changes how much it matters, or nothing. Events of one alarm may be of several subjects, and come in
//! another order than they were stored in: one that is older than the last is passed over. What ends an alarm that nobody has raised
//! yet is no word on it: where an end may overtake its beginning (of another subject or topic), the next end counts.

use cornjacket_domain::Timestamp;
use cornjacket_store::{Alarm, AlarmState, GroupKey};

use crate::AlarmChange;

/// What an event says of an alarm.
#[derive(Clone, Debug)]
pub struct Said {
    /// Its key.
    pub key: String,
    /// How much it matters, as `Severity` numbers it.
    pub severity: i16,
    /// The rule.
    pub rule: String,
    /// Its version.
    pub rule_version: u32,
    /// What the decision to tell it would be.
    pub decision: String,
    /// The event's source.
    pub source: String,
    /// Its id.
    pub event_id: String,
    /// Its subject.
    pub subject: String,
    /// What is said.
    pub title: String,
    /// The group that it is told with.
    pub group: Option<String>,
    /// The event, encoded.
    pub event: Vec<u8>,
    /// Its position.
    pub position: u64,
    /// When it was stored.
    pub stored: Timestamp,
}

/// The group that an alarm is told with: of the rule that raised it.
pub fn group(alarm: &Alarm) -> Option<GroupKey> {
    let key = alarm.group.clone()?;
    Some(GroupKey { rule: alarm.rule.clone(), key })
}

/// What has become of an alarm that an event raises. Nothing, when the event is older than what the alarm has seen.
pub fn raise(before: Option<&Alarm>, said: &Said) -> Option<(Alarm, AlarmChange)> {
    match before {
        Some(alarm) if said.position <= alarm.last_position => None,
        Some(alarm) if alarm.state != AlarmState::Cleared => {
            let change = if alarm.severity == said.severity {
                AlarmChange::None
            } else {
                AlarmChange::SeverityChanged
            };
            let alarm = Alarm {
                severity: said.severity,
                event_count: alarm.event_count + 1,
                last_position: said.position,
                ..alarm.clone()
            };
            Some((alarm, change))
        }
        before => Some((raised(before.map_or(0, |alarm| alarm.raised_count), said), AlarmChange::Raised)),
    }
}

fn raised(times: u64, said: &Said) -> Alarm {
    Alarm {
        key: said.key.clone(),
        state: AlarmState::Open,
        severity: said.severity,
        rule: said.rule.clone(),
        rule_version: said.rule_version,
        decision: said.decision.clone(),
        source: said.source.clone(),
        event_id: said.event_id.clone(),
        subject: said.subject.clone(),
        title: said.title.clone(),
        group: said.group.clone(),
        event: said.event.clone(),
        told: false,
        raised_count: times + 1,
        event_count: 1,
        raised: said.stored,
        acknowledged: None,
        cleared: None,
        last_position: said.position,
    }
}

/// What has become of an alarm that is over with an event. Nothing, when it was over before, or the event is older than what it has
/// seen.
pub fn clear(before: &Alarm, position: u64, at: Timestamp) -> Option<Alarm> {
    let lasts = before.state != AlarmState::Cleared && position > before.last_position;
    let over =
        || Alarm { state: AlarmState::Cleared, cleared: Some(at), last_position: position, ..before.clone() };
    lasts.then(over)
}

/// What has become of an alarm that somebody takes on. Nothing, when somebody has.
pub fn acknowledge(before: &Alarm, by: Option<&str>, at: Timestamp) -> Option<Alarm> {
    let is_open = before.state == AlarmState::Open;
    let acknowledged = Some((at, by.map(str::to_owned)));
    is_open.then(|| Alarm { state: AlarmState::Acknowledged, acknowledged, ..before.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::NOW;

    fn said(position: u64, severity: i16) -> Said {
        Said {
            key: "hot/pump-7".into(),
            severity,
            rule: "hot".into(),
            rule_version: 1,
            decision: format!("decision of {position}"),
            source: "sensors".into(),
            event_id: position.to_string(),
            subject: "pump-7".into(),
            title: "too hot".into(),
            group: None,
            event: Vec::new(),
            position,
            stored: NOW,
        }
    }

    #[test]
    fn an_alarm_is_raised_once_until_it_is_over() {
        let (alarm, change) = raise(None, &said(1, 2)).expect("it is new");
        assert_eq!((alarm.state, change, alarm.raised_count), (AlarmState::Open, AlarmChange::Raised, 1));
        let (again, change) = raise(Some(&alarm), &said(2, 2)).expect("it lasts");
        assert_eq!(
            (change, again.event_count, again.decision.as_str()),
            (AlarmChange::None, 2, "decision of 1")
        );
        let (worse, change) = raise(Some(&again), &said(3, 4)).expect("it lasts");
        assert_eq!((change, worse.severity), (AlarmChange::SeverityChanged, 4));
        let taken = acknowledge(&worse, Some("ann"), NOW).expect("it is open");
        assert_eq!(acknowledge(&taken, Some("bob"), NOW), None, "somebody has");
        let (still, change) = raise(Some(&taken), &said(4, 4)).expect("it lasts");
        assert_eq!((still.state, change), (AlarmState::Acknowledged, AlarmChange::None));
        let over = clear(&still, 5, NOW).expect("it lasts");
        assert_eq!(clear(&over, 6, NOW), None, "it is over");
        assert_eq!(acknowledge(&over, None, NOW), None);
        let (back, change) = raise(Some(&over), &said(7, 2)).expect("it is back");
        assert_eq!((back.state, change, back.raised_count), (AlarmState::Open, AlarmChange::Raised, 2));
        assert_eq!((back.acknowledged, back.cleared, back.event_count), (None, None, 1));
    }

    #[test]
    fn what_is_older_than_the_last_changes_nothing() {
        let (alarm, _) = raise(None, &said(5, 2)).expect("it is new");
        assert_eq!(raise(Some(&alarm), &said(5, 4)), None);
        assert_eq!(clear(&alarm, 4, NOW), None);
        let over = clear(&alarm, 9, NOW).expect("it lasts");
        assert_eq!(raise(Some(&over), &said(8, 2)), None, "before it was over");
    }
}
