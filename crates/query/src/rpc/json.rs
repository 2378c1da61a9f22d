//! From JSON text to `google.protobuf.Struct`.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use serde_json::{Error, Map};

/// Reads a JSON object.
pub(super) fn to_struct(json: &str) -> Result<Struct, Error> {
    serde_json::from_str(json).map(structure)
}

fn structure(object: Map<String, serde_json::Value>) -> Struct {
    Struct { fields: object.into_iter().map(|(key, value)| (key, convert(value))).collect() }
}

fn convert(value: serde_json::Value) -> Value {
    let kind = match value {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(flag) => Kind::BoolValue(flag),
        // A Struct has no other numbers; states keep 64-bit ones as text.
        serde_json::Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(text) => Kind::StringValue(text),
        serde_json::Value::Array(items) => {
            Kind::ListValue(ListValue { values: items.into_iter().map(convert).collect() })
        }
        serde_json::Value::Object(object) => Kind::StructValue(structure(object)),
    };
    Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_json_is_carried_over() {
        let read = to_struct(r#"{"a": [null, true, 1.5, "x", {"b": {}}]}"#).expect("an object");
        let Some(Kind::ListValue(list)) = &read.fields["a"].kind else { panic!("a list") };
        assert_eq!(list.values[0].kind, Some(Kind::NullValue(0)));
        assert_eq!(list.values[2].kind, Some(Kind::NumberValue(1.5)));
        assert!(matches!(&list.values[4].kind, Some(Kind::StructValue(inner)) if inner.fields.len() == 1));
        assert!(to_struct("[]").is_err());
    }
}
