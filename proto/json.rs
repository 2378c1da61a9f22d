//! From JSON to `google.protobuf.Struct`, and back.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use serde_json::{Error, Map};

/// Reads a JSON object.
pub fn to_struct(json: &str) -> Result<Struct, Error> {
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

/// What a Struct says in JSON. A number that JSON has not is null.
pub fn from_struct(structure: Struct) -> serde_json::Value {
    let fields = structure.fields.into_iter().map(|(key, value)| (key, from_value(value)));
    serde_json::Value::Object(fields.collect())
}

fn from_value(value: Value) -> serde_json::Value {
    match value.kind {
        None | Some(Kind::NullValue(_)) => serde_json::Value::Null,
        Some(Kind::BoolValue(flag)) => flag.into(),
        Some(Kind::NumberValue(number)) => from_number(number),
        Some(Kind::StringValue(text)) => text.into(),
        Some(Kind::ListValue(list)) => list.values.into_iter().map(from_value).collect(),
        Some(Kind::StructValue(structure)) => from_struct(structure),
    }
}

/// A Struct knows no whole numbers; whoever expects one would not take 3.0.
fn from_number(number: f64) -> serde_json::Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[allow(clippy::cast_possible_truncation, reason = "it is whole, and small enough")]
    if number.fract() == 0.0 && number.abs() <= EXACT { (number as i64).into() } else { number.into() }
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
        let back = from_struct(read).to_string();
        assert_eq!(back, r#"{"a":[null,true,1.5,"x",{"b":{}}]}"#);
        assert_eq!(from_number(-3.0).to_string(), "-3");
    }
}
