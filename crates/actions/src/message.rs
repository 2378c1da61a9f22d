//! What is told, as it waits to be sent.

use cornjacket_proto::actions::Severity;
use cornjacket_proto::events::Event;

/// What a delivery says. It is kept as protobuf bytes beside the delivery; fields are only ever added.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Message {
    /// The rule that says so.
    #[prost(string, tag = "1")]
    pub rule: String,
    /// Its version.
    #[prost(uint32, tag = "2")]
    pub rule_version: u32,
    /// How much it matters.
    #[prost(enumeration = "Severity", tag = "3")]
    pub severity: i32,
    /// One line, escaped for the channel.
    #[prost(string, tag = "4")]
    pub title: String,
    /// More of it, escaped for the channel.
    #[prost(string, tag = "5")]
    pub text: String,
    /// What happened, with its position in the log.
    #[prost(message, optional, tag = "6")]
    pub event: Option<Event>,
    /// The alarm that it is about, by its key; empty where it is about none.
    #[prost(string, tag = "7")]
    pub alarm_key: String,
    /// What has become of that alarm.
    #[prost(enumeration = "AlarmChange", tag = "8")]
    pub alarm_change: i32,
    /// Whether it is a test, and nothing has happened.
    #[prost(bool, tag = "9")]
    pub is_test: bool,
}

/// What has become of an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum AlarmChange {
    /// Nothing: it is about no alarm.
    None = 0,
    /// It was raised, or raised again.
    Raised = 1,
    /// It matters more, or less.
    SeverityChanged = 2,
    /// Somebody has taken it on.
    Acknowledged = 3,
    /// It is over.
    Cleared = 4,
}

impl AlarmChange {
    /// As receivers are told; nothing where there is none.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Raised => Some("raised"),
            Self::SeverityChanged => Some("severity-changed"),
            Self::Acknowledged => Some("acknowledged"),
            Self::Cleared => Some("cleared"),
        }
    }
}
