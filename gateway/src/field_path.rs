//! Paths of fields into nested messages, looked up once and followed for every request.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};

/// A way from a message to a field of it, or of a message in it. Never empty.
#[derive(Clone, Debug)]
pub struct FieldPath {
    within: Vec<FieldDescriptor>,
    last: FieldDescriptor,
}

impl FieldPath {
    /// Looks the names up; every field but the last is one message.
    pub(crate) fn resolve(message: &MessageDescriptor, names: &[String]) -> Result<Self, String> {
        let missing = |message: &MessageDescriptor, name: &str| {
            format!("{} has no field `{name}`", message.full_name())
        };
        let (last, within) = names.split_last().ok_or("an empty path")?;
        let mut message = message.clone();
        let mut fields = Vec::with_capacity(within.len());
        for name in within {
            let field = message.get_field_by_name(name).ok_or_else(|| missing(&message, name))?;
            message = match field.kind() {
                Kind::Message(nested) if !field.is_list() && !field.is_map() => nested,
                _ => return Err(format!("`{name}` is not one message")),
            };
            fields.push(field);
        }
        let last = message.get_field_by_name(last).ok_or_else(|| missing(&message, last))?;
        Ok(Self { within: fields, last })
    }

    /// The field at its end.
    pub fn last(&self) -> &FieldDescriptor {
        &self.last
    }

    /// The path as JSON names it.
    pub fn json_path(&self) -> String {
        let names = self.within.iter().chain([&self.last]).map(FieldDescriptor::json_name);
        names.collect::<Vec<_>>().join(".")
    }

    /// Sets the field, unless it has another value already: then that is returned as false.
    pub(crate) fn set(&self, message: &mut DynamicMessage, value: Value) -> bool {
        let mut message = message;
        for field in &self.within {
            let Value::Message(nested) = message.get_field_mut(field) else { return false };
            message = nested;
        }
        let fits = !message.has_field(&self.last) || *message.get_field(&self.last) == value;
        if fits {
            message.set_field(&self.last, value);
        }
        fits
    }
}
