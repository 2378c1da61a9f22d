//! An event in CEL: values that borrow it, so that a condition costs what it looks at and not what the event holds.

use std::collections::HashMap;
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use cel::ExecutionError;
use cel::common::traits::{Container, Indexer, Iterable, Iterator, Sizer};
use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelDuration, CelInt, CelNull, CelString, CelTimestamp, CelUInt, LIST_TYPE,
    MAP_TYPE, Type,
};
use cel::common::value::{CowVal, Val};
use cornjacket_proto::DynamicMessage;
use prost_reflect::{Kind, MapKey, ReflectMessage, Value};

use super::view::{is_there, name_of, parts};

/// Elements of the event that one evaluation may go over, in all of its loops together.
pub(super) const MOST_ELEMENTS: usize = 10_000;

/// Counts the elements that an evaluation goes over.
#[derive(Debug, Default)]
pub(super) struct Meter(AtomicUsize);

impl Meter {
    /// Whether so many more may be gone over. Once they may not, the evaluation has failed, whatever it still says.
    fn take(&self, elements: usize) -> bool {
        let before = self.0.fetch_add(elements, Ordering::Relaxed);
        before.saturating_add(elements) <= MOST_ELEMENTS
    }

    /// Whether more was asked for than may be.
    pub(super) fn is_exceeded(&self) -> bool {
        self.0.load(Ordering::Relaxed) > MOST_ELEMENTS
    }
}

/// A part of an event that has parts.
pub(super) struct Seen<'e> {
    what: What<'e>,
    meter: &'e Meter,
    elements: OnceLock<Vec<Box<dyn Val + 'e>>>,
}

#[derive(Clone)]
enum What<'e> {
    Message(&'e DynamicMessage),
    List(&'e [Value], Kind),
    Map(Option<&'e HashMap<MapKey, Value>>, Kind),
}

impl<'e> Seen<'e> {
    /// The whole event.
    pub(super) const fn new(message: &'e DynamicMessage, meter: &'e Meter) -> Self {
        Self::part(What::Message(message), meter)
    }

    const fn part(what: What<'e>, meter: &'e Meter) -> Self {
        Self { what, meter, elements: OnceLock::new() }
    }

    fn value(&self, value: &'e Value, kind: &Kind) -> Box<dyn Val + 'e> {
        match value {
            Value::Bool(value) => Box::new(CelBool::from(*value)),
            Value::I32(value) => Box::new(CelInt::from(i64::from(*value))),
            Value::I64(value) => Box::new(CelInt::from(*value)),
            Value::U32(value) => Box::new(CelUInt::from(u64::from(*value))),
            Value::U64(value) => Box::new(CelUInt::from(*value)),
            Value::F32(value) => Box::new(CelDouble::from(f64::from(*value))),
            Value::F64(value) => Box::new(CelDouble::from(*value)),
            Value::String(value) => Box::new(CelString::from(value.as_str())),
            Value::Bytes(value) => Box::new(CelBytes::from(&value[..])),
            Value::EnumNumber(number) => Box::new(CelString::from(name_of(kind, *number))),
            Value::Message(message) => self.message(message),
            Value::List(values) => self.boxed(What::List(values, kind.clone())),
            Value::Map(entries) => {
                let entry = kind.as_message().map(|entry| entry.map_entry_value_field().kind());
                self.boxed(What::Map(Some(entries), entry.unwrap_or(Kind::Bool)))
            }
        }
    }

    fn message(&self, message: &'e DynamicMessage) -> Box<dyn Val + 'e> {
        match message.descriptor().full_name() {
            "google.protobuf.Timestamp" => time(message),
            "google.protobuf.Duration" => span(message),
            "google.protobuf.Struct" => {
                let entries = message.fields().next().and_then(|(_, entries)| entries.as_map());
                self.boxed(What::Map(entries, Kind::Bool))
            }
            "google.protobuf.ListValue" => {
                let values = message.fields().next().and_then(|(_, values)| values.as_list());
                self.boxed(What::List(values.unwrap_or_default(), Kind::Bool))
            }
            "google.protobuf.Value" => match message.fields().next() {
                Some((field, value)) if field.name() != "null_value" => self.value(value, &field.kind()),
                _ => Box::new(CelNull),
            },
            _ => self.boxed(What::Message(message)),
        }
    }

    fn boxed(&self, what: What<'e>) -> Box<dyn Val + 'e> {
        Box::new(Self::part(what, self.meter))
    }

    fn field(&self, name: &str) -> Option<Box<dyn Val + 'e>> {
        match &self.what {
            What::Message(message) => {
                let field = message.descriptor().get_field_by_name(name)?;
                if message.has_field(&field) {
                    let (_, value) = message.fields().find(|(of, _)| of.number() == field.number())?;
                    return Some(self.value(value, &field.kind()));
                }
                is_there(message, &field).then(|| self.default(&field))
            }
            What::Map(entries, kind) => {
                let value = (*entries)?.get(&MapKey::String(name.to_owned()))?;
                Some(self.value(value, kind))
            }
            What::List(..) => None,
        }
    }

    fn default(&self, field: &prost_reflect::FieldDescriptor) -> Box<dyn Val + 'e> {
        match Value::default_value_for_field(field) {
            Value::Bool(_) => Box::new(CelBool::from(false)),
            Value::I32(_) | Value::I64(_) => Box::new(CelInt::from(0)),
            Value::U32(_) | Value::U64(_) => Box::new(CelUInt::from(0)),
            Value::F32(_) | Value::F64(_) => Box::new(CelDouble::from(0.0)),
            Value::String(_) => Box::new(CelString::from("")),
            Value::Bytes(_) => Box::new(CelBytes::from(&[][..])),
            Value::EnumNumber(number) => Box::new(CelString::from(name_of(&field.kind(), number))),
            Value::List(_) => self.boxed(What::List(&[], field.kind())),
            Value::Map(_) => self.boxed(What::Map(None, Kind::Bool)),
            // A message is there or absent, and has no default.
            Value::Message(_) => Box::new(CelNull),
        }
    }

    fn elements(&self) -> &[Box<dyn Val + 'e>] {
        self.elements.get_or_init(|| match &self.what {
            What::List(values, kind) => values.iter().map(|value| self.value(value, kind)).collect(),
            What::Map(Some(entries), _) => {
                // In their order, for what is told of an element that fails to be the same each time.
                let mut keys: Vec<_> = entries.keys().filter_map(MapKey::as_str).collect();
                keys.sort_unstable();
                keys.into_iter().map(|key| Box::new(CelString::from(key)) as Box<dyn Val + 'e>).collect()
            }
            What::Map(None, _) | What::Message(_) => Vec::new(),
        })
    }

    fn len(&self) -> usize {
        match &self.what {
            What::List(values, _) => values.len(),
            What::Map(entries, _) => entries.map_or(0, HashMap::len),
            What::Message(_) => 0,
        }
    }
}

fn time<'e>(message: &DynamicMessage) -> Box<dyn Val + 'e> {
    let (seconds, nanos) = parts(message);
    let nanos = u32::try_from(nanos).unwrap_or_default();
    chrono::DateTime::from_timestamp(seconds, nanos).map_or_else(
        || Box::new(CelNull) as Box<dyn Val>,
        |time| Box::new(CelTimestamp::from(time.fixed_offset())),
    )
}

fn span<'e>(message: &DynamicMessage) -> Box<dyn Val + 'e> {
    let (seconds, nanos) = parts(message);
    let whole = chrono::Duration::try_seconds(seconds);
    whole
        .and_then(|whole| whole.checked_add(&chrono::Duration::nanoseconds(i64::from(nanos))))
        .map_or_else(|| Box::new(CelNull) as Box<dyn Val>, |span| Box::new(CelDuration::from(span)))
}

/// Without what it holds: an error may print it.
impl fmt::Debug for Seen<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.get_type().name())
    }
}

impl Val for Seen<'_> {
    fn get_type(&self) -> &Type {
        if matches!(self.what, What::List(..)) { &LIST_TYPE } else { &MAP_TYPE }
    }

    fn cel_type() -> &'static Type {
        &MAP_TYPE
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_iterable<'b, 'v>(&'b self) -> Option<&'b (dyn Iterable + 'v)>
    where
        Self: 'v,
    {
        self.meter.take(self.len()).then_some(self)
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        Some(self)
    }

    /// Lists and maps by what they hold; [`super::checker`] sees to it that `self` is on the left, and no message.
    fn equals(&self, other: &dyn Val) -> bool {
        let same_size = |other: &dyn Val| {
            other.get_type() == self.get_type()
                && other.as_sizer().is_some_and(|other| *other.size().inner() == *self.size().inner())
        };
        if !same_size(other) || !self.meter.take(self.len()) {
            return false;
        }
        let Some(other) = other.as_indexer() else {
            return false;
        };
        let is_list = matches!(self.what, What::List(..));
        self.elements().iter().enumerate().all(|(index, element)| {
            if is_list {
                let index = CelInt::from(i64::try_from(index).unwrap_or(i64::MAX));
                return other.get(&index).is_ok_and(|other| element.equals(other.as_ref()));
            }
            let (ours, theirs) = (self.get(element.as_ref()), other.get(element.as_ref()));
            ours.is_ok_and(|ours| theirs.is_ok_and(|theirs| ours.equals(theirs.as_ref())))
        })
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(Self::part(self.what.clone(), self.meter))
    }
}

impl Container for Seen<'_> {
    fn contains(&self, value: &dyn Val) -> Result<bool, ExecutionError> {
        match &self.what {
            What::List(..) => {
                Ok(self.meter.take(self.len()) && self.elements().iter().any(|element| element.equals(value)))
            }
            _ => Ok(self.get(value).is_ok()),
        }
    }
}

impl Indexer for Seen<'_> {
    fn get<'b, 'v>(&'b self, index: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        if let What::List(values, kind) = &self.what {
            let place = index.downcast_ref::<CelInt>().map(|index| *index.inner());
            let place = place.or_else(|| {
                let index = index.downcast_ref::<CelUInt>()?;
                i64::try_from(*index.inner()).ok()
            });
            let place = place.ok_or_else(|| unexpected(index, "int"))?;
            let value = usize::try_from(place).ok().and_then(|place| values.get(place));
            return value
                .map(|value| CowVal::Owned(self.value(value, kind)))
                .ok_or_else(|| ExecutionError::IndexOutOfBounds(place.into()));
        }
        let name = index.downcast_ref::<CelString>().ok_or_else(|| unexpected(index, "string"))?;
        self.field(name.inner()).map(CowVal::Owned).ok_or_else(|| ExecutionError::no_such_key(name.inner()))
    }

    fn steal<'v>(self: Box<Self>, index: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.get(index).map(CowVal::into_owned)
    }
}

fn unexpected(index: &dyn Val, want: &str) -> ExecutionError {
    ExecutionError::UnexpectedType { got: index.get_type().name().to_owned(), want: want.to_owned() }
}

impl Iterable for Seen<'_> {
    fn iter<'b, 'v>(&'b self) -> Box<dyn Iterator<'b, 'v> + 'b>
    where
        Self: 'v,
    {
        Box::new(Elements(self.elements().iter()))
    }
}

struct Elements<'b, 'e>(std::slice::Iter<'b, Box<dyn Val + 'e>>);

impl<'b, 'e: 'v, 'v> Iterator<'b, 'v> for Elements<'b, 'e> {
    fn next(&mut self) -> Option<&'b (dyn Val + 'v)> {
        self.0.next().map(|element| element.as_ref() as &'b (dyn Val + 'v))
    }
}

impl Sizer for Seen<'_> {
    fn size(&self) -> CelInt {
        CelInt::from(i64::try_from(self.len()).unwrap_or(i64::MAX))
    }
}
