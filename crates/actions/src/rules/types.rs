//! What the parts of a condition are, as far as it can be known before there is an event.

use std::fmt;

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};

/// What an expression is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Type {
    Bool,
    Int,
    Uint,
    Double,
    Text,
    /// The name of a value of an enum.
    Name(EnumDescriptor),
    Bytes,
    Time,
    Span,
    Null,
    List(Box<Type>),
    Map(Box<Type>),
    Message(MessageDescriptor),
    /// Known when there is an event: what is in a `Struct`.
    Any,
}

impl Type {
    /// What a field holds.
    pub(super) fn of_field(field: &FieldDescriptor) -> Self {
        let kind = field.kind();
        if field.is_map()
            && let Kind::Message(entry) = &kind
        {
            return Self::Map(Box::new(Self::of_kind(&entry.map_entry_value_field().kind())));
        }
        if field.is_list() { Self::List(Box::new(Self::of_kind(&kind))) } else { Self::of_kind(&kind) }
    }

    fn of_kind(kind: &Kind) -> Self {
        match kind {
            Kind::Double | Kind::Float => Self::Double,
            Kind::Int32 | Kind::Int64 | Kind::Sint32 | Kind::Sint64 | Kind::Sfixed32 | Kind::Sfixed64 => {
                Self::Int
            }
            Kind::Uint32 | Kind::Uint64 | Kind::Fixed32 | Kind::Fixed64 => Self::Uint,
            Kind::Bool => Self::Bool,
            Kind::String => Self::Text,
            Kind::Bytes => Self::Bytes,
            Kind::Enum(of) => Self::Name(of.clone()),
            Kind::Message(message) => match message.full_name() {
                "google.protobuf.Timestamp" => Self::Time,
                "google.protobuf.Duration" => Self::Span,
                "google.protobuf.Struct" => Self::Map(Box::new(Self::Any)),
                "google.protobuf.ListValue" => Self::List(Box::new(Self::Any)),
                "google.protobuf.Value" => Self::Any,
                _ => Self::Message(message.clone()),
            },
        }
    }

    /// Whether it may be a value of that type.
    pub(super) fn may_be(&self, other: &Self) -> bool {
        use Type::{Any, List, Map, Name, Text};
        match (self, other) {
            (Any, _)
            | (_, Any)
            | (Text | Name(_), Text | Name(_))
            | (List(_), List(_))
            | (Map(_), Map(_)) => true,
            (one, other) => one == other,
        }
    }

    pub(super) const fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Uint | Self::Double)
    }

    /// Whether two of them can be equal at all.
    pub(super) fn compares_with(&self, other: &Self) -> bool {
        self.is_number() && other.is_number() || self.may_be(other)
    }

    /// Whether one takes as long to look at as any other of its type.
    pub(super) const fn is_small(&self) -> bool {
        matches!(
            self,
            Self::Bool
                | Self::Int
                | Self::Uint
                | Self::Double
                | Self::Name(_)
                | Self::Time
                | Self::Span
                | Self::Null
        )
    }
}

impl fmt::Display for Type {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Bool => "a bool",
            Self::Int => "an int",
            Self::Uint => "a uint",
            Self::Double => "a double",
            Self::Text => "a string",
            Self::Name(_) => "the name of an enum's value",
            Self::Bytes => "bytes",
            Self::Time => "a timestamp",
            Self::Span => "a duration",
            Self::Null => "null",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::Message(of) => return write!(formatter, "a message {}", of.name()),
            Self::Any => "anything",
        })
    }
}
