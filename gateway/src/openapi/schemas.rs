//! What messages and enums are in canonical protobuf JSON, as the named schemas of the document.
//!
//! Nothing is required, since canonical JSON leaves out what has its default value; nothing unknown is allowed, since
//! it is neither sent nor accepted.

use std::collections::BTreeMap;

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor};
use serde_json::{Map, Value, json};

use super::{comments, scalars, well_known};

/// The named schemas that were needed so far.
#[derive(Debug, Default)]
pub(super) struct Schemas {
    named: BTreeMap<String, Value>,
}

/// A reference to the schema `name`.
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

impl Schemas {
    /// All of them, by name.
    pub(super) fn finish(self) -> BTreeMap<String, Value> {
        self.named
    }

    /// Adds a schema that is not made from a descriptor.
    pub(super) fn insert(&mut self, name: &str, schema: Value) {
        self.named.insert(name.to_owned(), schema);
    }

    /// The schema of a message: a reference, unless it has a JSON of its own.
    pub(super) fn message(&mut self, message: &MessageDescriptor) -> Value {
        if let Some(schema) = well_known::schema(message) {
            return schema;
        }
        let name = message.full_name();
        if !self.named.contains_key(name) {
            // Its place is taken first: a message may contain itself.
            self.insert(name, Value::Null);
            let schema = self.message_without(message, &[]);
            self.insert(name, schema);
        }
        reference(name)
    }

    /// The schema of what is left of a message when some of its fields are elsewhere.
    pub(super) fn message_without(
        &mut self,
        message: &MessageDescriptor,
        elsewhere: &[FieldDescriptor],
    ) -> Value {
        let fields = message.fields().filter(|field| !elsewhere.contains(field));
        let properties: Map<_, _> =
            fields.map(|field| (field.json_name().to_owned(), self.field(&field))).collect();
        let mut schema = Map::from_iter([
            ("type".to_owned(), json!("object")),
            ("properties".to_owned(), Value::Object(properties)),
            ("additionalProperties".to_owned(), json!(false)),
        ]);
        comments::describe(&mut schema, &message.parent_file(), message.path());
        schema.extend(choices(message));
        Value::Object(schema)
    }

    /// The schema of a field, with its comment.
    pub(super) fn field(&mut self, field: &FieldDescriptor) -> Value {
        let mut schema = self.undescribed(field);
        if let Some(schema) = schema.as_object_mut() {
            comments::describe(schema, &field.parent_message().parent_file(), field.path());
        }
        schema
    }

    fn undescribed(&mut self, field: &FieldDescriptor) -> Value {
        if field.is_map() {
            let kind = field.kind();
            let entry = kind.as_message().map(MessageDescriptor::map_entry_value_field);
            let values = entry.map(|value| self.one(&value.kind()));
            return json!({ "type": "object", "additionalProperties": values });
        }
        let one = self.one(&field.kind());
        if field.is_list() { json!({ "type": "array", "items": one }) } else { one }
    }

    /// The schema of one value of a kind.
    pub(super) fn one(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::Message(message) => self.message(message),
            Kind::Enum(descriptor) => self.enumeration(descriptor),
            scalar => scalars::schema(scalar).unwrap_or_default(),
        }
    }

    fn enumeration(&mut self, descriptor: &EnumDescriptor) -> Value {
        if descriptor.full_name() == "google.protobuf.NullValue" {
            return json!({ "type": "null" });
        }
        let values: Vec<_> = descriptor.values().map(|value| value.name().to_owned()).collect();
        let schema =
            json!({ "type": "string", "enum": values, "description": comments::of_enum(descriptor) });
        self.insert(descriptor.full_name(), schema);
        reference(descriptor.full_name())
    }
}

/// The keyword that keeps the oneofs of a message to one field each; those of `optional` fields are protobuf's own affair.
fn choices(message: &MessageDescriptor) -> Option<(String, Value)> {
    let oneofs = message.oneofs().filter(|oneof| !oneof.is_synthetic());
    let mut choices: Vec<_> = oneofs.map(|oneof| at_most_one(&oneof)).collect();
    match choices.len() {
        0 | 1 => choices.pop().map(|choice| ("oneOf".to_owned(), choice)),
        _ => {
            let choices = choices.into_iter().map(|choice| json!({ "oneOf": choice })).collect();
            Some(("allOf".to_owned(), choices))
        }
    }
}

/// One branch for each field of a oneof, and one for none of them.
fn at_most_one(oneof: &OneofDescriptor) -> Value {
    let one: Vec<_> = oneof.fields().map(|field| json!({ "required": [field.json_name()] })).collect();
    let none = json!({ "not": { "anyOf": one.clone() } });
    one.into_iter().chain([none]).collect()
}
