//! Several things that are told as one.

use cornjacket_domain::Timestamp;
use cornjacket_proto::actions::Severity;
use cornjacket_proto::events::attribute_value::Value;
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::{AttributeValue, Event};
use prost_types::value::Kind;
use prost_types::{ListValue, Struct};

use crate::channels::naming;
use crate::message::{AlarmChange, Message};
use crate::{said, severity};

/// Things that are named, at the most; of all the others it is said how many they are.
pub const SHOWN: u32 = 50;
/// Characters of a text, at the most.
const LONGEST_TEXT: usize = 16_384;

/// What is told as one, as the type of the event that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum As {
    /// What fell into one group.
    Group,
    /// What had piled up.
    Digest,
}

/// Where what is told as one belongs.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    /// Why it is one.
    pub told_as: As,
    /// The id of the event that says so: the same whenever the same is told.
    pub id: &'a str,
    /// The group's key; empty where there is none.
    pub group: &'a str,
    /// When it is put together.
    pub now: Timestamp,
}

/// One of several things, in short.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Item {
    /// One line, escaped for the channel.
    #[prost(string, tag = "1")]
    pub title: String,
    /// How much it matters.
    #[prost(enumeration = "Severity", tag = "2")]
    pub severity: i32,
    /// The event's source.
    #[prost(string, tag = "3")]
    pub source: String,
    /// Its id.
    #[prost(string, tag = "4")]
    pub id: String,
    /// Its type.
    #[prost(string, tag = "5")]
    pub event_type: String,
    /// Its subject.
    #[prost(string, tag = "6")]
    pub subject: String,
    /// The alarm that it is about.
    #[prost(string, tag = "7")]
    pub alarm_key: String,
    /// What has become of that alarm.
    #[prost(enumeration = "AlarmChange", tag = "8")]
    pub alarm_change: i32,
}

/// Things that are told together, in the order in which they came. It is kept as protobuf bytes; fields are only ever added.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Gathered {
    /// The first, as it would be told by itself.
    #[prost(message, optional, tag = "1")]
    pub first: Option<Message>,
    /// The first of them in short.
    #[prost(message, repeated, tag = "2")]
    pub items: Vec<Item>,
    /// How many there are.
    #[prost(uint64, tag = "3")]
    pub count: u64,
    /// How much that of them matters that matters most.
    #[prost(enumeration = "Severity", tag = "4")]
    pub severity: i32,
    /// How many of our own doings they come of, at the most.
    #[prost(uint32, tag = "5")]
    pub depth: u32,
}

impl Item {
    fn of(message: &Message) -> Self {
        let (title, severity) = (message.title.clone(), message.severity);
        let (alarm_key, alarm_change) = (message.alarm_key.clone(), message.alarm_change);
        let event = message.event.clone().unwrap_or_default();
        let Event { source, id, r#type: event_type, subject, .. } = event;
        Self { title, severity, source, id, event_type, subject, alarm_key, alarm_change }
    }

    /// A line of a text.
    fn line(&self) -> String {
        let severity = severity::name(self.severity());
        match self.alarm_change().name() {
            Some(change) => format!("- [{severity}, {change}] {}", self.title),
            None => format!("- [{severity}] {}", self.title),
        }
    }

    fn shown(&self) -> Kind {
        let texts = [
            ("title", self.title.as_str()),
            ("severity", severity::name(self.severity())),
            ("source", &self.source),
            ("id", &self.id),
            ("type", &self.event_type),
            ("subject", &self.subject),
            ("alarm", &self.alarm_key),
            ("alarm_change", self.alarm_change().name().unwrap_or_default()),
        ];
        let said = texts.into_iter().filter(|(_, text)| !text.is_empty());
        Kind::StructValue(structure(said.map(|(name, text)| (name, Kind::StringValue(text.to_owned())))))
    }
}

impl Gathered {
    /// Takes one more.
    pub fn add(&mut self, message: Message) {
        self.count += 1;
        // As they are numbered, what matters more is more.
        self.severity = self.severity.max(message.severity);
        self.depth = self.depth.max(message.event.as_ref().map_or(0, said::depth));
        if self.items.len() < SHOWN as usize {
            self.items.push(Item::of(&message));
        }
        self.first.get_or_insert(message);
    }

    /// What is told: of one thing what would be told of it by itself. Nothing, when there is nothing.
    pub fn message(&self, name: &Name<'_>) -> Option<Message> {
        let first = self.first.clone()?;
        if self.count == 1 {
            return Some(first);
        }
        let title = naming::title(&first);
        Some(Message {
            severity: self.severity,
            title: format!("{title} (and {} more)", self.count - 1),
            text: self.text(),
            event: Some(self.event(&first, name)),
            alarm_key: String::new(),
            alarm_change: AlarmChange::None.into(),
            ..first
        })
    }

    fn text(&self) -> String {
        let (mut lines, mut characters) = (Vec::new(), 0);
        for line in self.items.iter().map(Item::line) {
            characters += line.chars().count() + 1;
            // With room for how many more there are.
            if characters > LONGEST_TEXT - 64 {
                break;
            }
            lines.push(line);
        }
        let left = usize::try_from(self.count).unwrap_or(usize::MAX) - lines.len();
        if left > 0 {
            lines.push(format!("- and {left} more"));
        }
        lines.join("\n")
    }

    /// An event of ours, with what it is about. The log has none such.
    fn event(&self, first: &Message, name: &Name<'_>) -> Event {
        let number = |number: f64| Kind::NumberValue(number);
        #[allow(clippy::cast_precision_loss, reason = "nobody gathers 2^53 things")]
        let count = self.count as f64;
        let items = self.items.iter().map(|item| prost_types::Value { kind: Some(item.shown()) });
        let said = [
            ("rule", Kind::StringValue(first.rule.clone())),
            ("rule_version", number(first.rule_version.into())),
            ("group", Kind::StringValue(name.group.to_owned())),
            ("count", number(count)),
            ("events", Kind::ListValue(ListValue { values: items.collect() })),
        ];
        let depth = Value::Integer(i32::try_from(self.depth.saturating_add(1)).unwrap_or(i32::MAX));
        let event_type = match name.told_as {
            As::Group => "notification.group",
            As::Digest => "notification.digest",
        };
        Event {
            id: name.id.to_owned(),
            source: said::SOURCE.to_owned(),
            r#type: event_type.to_owned(),
            subject: name.group.to_owned(),
            event_time: Some(name.now.to_proto()),
            attributes: [(said::DEPTH.to_owned(), AttributeValue { value: Some(depth) })].into(),
            trace_context: first.event.as_ref().and_then(|event| event.trace_context.clone()),
            payload: Some(Payload::Struct(structure(said.into_iter()))),
            ..Event::default()
        }
    }
}

fn structure<'a>(fields: impl Iterator<Item = (&'a str, Kind)>) -> Struct {
    let field = |(name, kind): (&str, Kind)| (name.to_owned(), prost_types::Value { kind: Some(kind) });
    Struct { fields: fields.map(field).collect() }
}
