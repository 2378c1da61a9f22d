//! What things are called where people and other programs read it.

use crate::message::{AlarmChange, Message};
use crate::severity;

/// What has become of an alarm; nothing where it is about none.
pub const fn change(change: AlarmChange) -> Option<&'static str> {
    match change {
        AlarmChange::None => None,
        AlarmChange::Raised => Some("raised"),
        AlarmChange::SeverityChanged => Some("severity changed"),
        AlarmChange::Acknowledged => Some("acknowledged"),
        AlarmChange::Cleared => Some("cleared"),
    }
}

/// What stands before a title: that it is over or taken on, else how much it matters.
pub fn state(message: &Message) -> &'static str {
    match message.alarm_change() {
        over @ (AlarmChange::Cleared | AlarmChange::Acknowledged) => change(over).unwrap_or_default(),
        AlarmChange::None | AlarmChange::Raised | AlarmChange::SeverityChanged => {
            severity::name(message.severity())
        }
    }
}

/// The title; the rule's name where it says none.
pub fn title(message: &Message) -> &str {
    if message.title.is_empty() { &message.rule } else { &message.title }
}
