//! JSON objects as `Struct`s, as long as nothing is lost, and back.

use std::collections::BTreeMap;
use std::fmt;

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// The object in `text`, which is JSON. `None` when it is no object, or repeats a name, or has a string that is not
/// Unicode.
pub fn to_struct(text: &[u8]) -> Option<Struct> {
    match serde_json::from_slice::<Tree>(text).ok()?.0.kind {
        Some(Kind::StructValue(object)) => Some(object),
        _ => None,
    }
}

/// The JSON of a `Struct`, its names sorted.
pub fn from_struct(object: &Struct) -> Result<String, serde_json::Error> {
    serde_json::to_string(&ObjectRef(object))
}

/// What reading a JSON text as doubles and messages would cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Every number is one that a double gives back.
    pub exact: bool,
    /// How deep objects and arrays are nested.
    pub depth: usize,
}

/// Looks through `text`, which must be JSON.
pub fn shape(text: &[u8]) -> Shape {
    let mut shape = Shape { exact: true, depth: 0 };
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => at += string_length(&text[at..]) - 1,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'-' | b'0'..=b'9' => {
                let length = number_length(&text[at..]);
                shape.exact &= std::str::from_utf8(&text[at..at + length]).is_ok_and(is_held);
                at += length - 1;
            }
            _ => {}
        }
        shape.depth = shape.depth.max(depth);
        at += 1;
    }
    shape
}

/// The length of the string that `text` begins with, its quotes included.
fn string_length(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

fn number_length(text: &[u8]) -> usize {
    let in_number = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
    text.iter().position(|byte| !in_number(byte)).unwrap_or(text.len())
}

/// Whether a double gives this number back: the shortest decimal of the nearest double is the same number.
fn is_held(number: &str) -> bool {
    let nearest = number.parse::<f64>().ok().filter(|nearest| nearest.is_finite());
    nearest.is_some_and(|nearest| {
        let given = decimal(number);
        given.is_some() && given == decimal(&format!("{nearest:e}"))
    })
}

/// The digits of a number between its outer zeros, and the power of ten that they count.
fn decimal(number: &str) -> Option<(String, i64)> {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{}{fraction}", whole.trim_start_matches('-'));
    let significant = digits.trim_end_matches('0');
    let power = i64::try_from(digits.len() - significant.len()).ok()? - i64::try_from(fraction.len()).ok()?;
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        return Some((String::new(), 0));
    }
    Some((significant.to_owned(), exponent.parse::<i64>().ok()?.checked_add(power)?))
}

/// A JSON value on its way in.
struct Tree(Value);

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor).map(|kind| Self(Value { kind: Some(kind) }))
    }
}

struct TreeVisitor;

#[allow(clippy::cast_precision_loss, reason = "who cannot lose it looks at `Shape::exact`")]
impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Kind;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::NullValue(0))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Kind, E> {
        Ok(Kind::BoolValue(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Kind, E> {
        Ok(Kind::NumberValue(value as f64))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Kind, E> {
        Ok(Kind::NumberValue(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Kind, E> {
        Ok(Kind::NumberValue(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Kind, E> {
        Ok(Kind::StringValue(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Kind, A::Error> {
        let mut values = Vec::new();
        while let Some(Tree(value)) = items.next_element()? {
            values.push(value);
        }
        Ok(Kind::ListValue(ListValue { values }))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Kind, A::Error> {
        let mut fields = BTreeMap::new();
        while let Some((name, Tree(value))) = members.next_entry::<String, Tree>()? {
            if fields.insert(name, value).is_some() {
                return Err(A::Error::custom("a name is repeated"));
            }
        }
        Ok(Kind::StructValue(Struct { fields }))
    }
}

/// An object on its way out.
struct ObjectRef<'a>(&'a Struct);

impl Serialize for ObjectRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.fields.iter().map(|(name, value)| (name, ValueRef(value))))
    }
}

struct ValueRef<'a>(&'a Value);

impl Serialize for ValueRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0.kind {
            None | Some(Kind::NullValue(_)) => serializer.serialize_unit(),
            Some(Kind::BoolValue(value)) => serializer.serialize_bool(*value),
            Some(Kind::NumberValue(value)) => serializer.serialize_f64(*value),
            Some(Kind::StringValue(value)) => serializer.serialize_str(value),
            Some(Kind::StructValue(object)) => ObjectRef(object).serialize(serializer),
            Some(Kind::ListValue(list)) => serializer.collect_seq(list.values.iter().map(ValueRef)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_double_holds_what_it_gives_back() {
        for held in ["0", "-0", "0.1", "1.10", "1e3", "1000", "9007199254740992", "1E+22", "5e-324", "0.000"]
        {
            assert!(is_held(held), "{held}");
        }
        for lost in ["9007199254740993", "18446744073709551615", "1e400", "1e-400", "0.10000000000000000001"]
        {
            assert!(!is_held(lost), "{lost}");
        }
    }

    #[test]
    fn the_shape_passes_over_strings() {
        assert_eq!(shape(br#"{"a\\\"[[":[1,{}],"9007199254740993":""}"#), Shape { exact: true, depth: 3 });
        assert_eq!(shape(b"[-9007199254740993]"), Shape { exact: false, depth: 1 });
    }

    #[test]
    fn a_repeated_name_or_half_a_character_makes_no_struct() {
        assert!(to_struct(br#"{"a":1,"a":2}"#).is_none());
        assert!(to_struct(br#"{"a":"\ud800"}"#).is_none());
        assert!(to_struct(b"[1]").is_none());
    }

    proptest! {
        #[test]
        fn every_finite_double_is_held(value in any::<f64>().prop_filter("finite", |value| value.is_finite())) {
            let scientific = format!("{value:e}");
            prop_assert!(is_held(&value.to_string()) && is_held(&scientific));
        }

        #[test]
        fn no_text_panics(text in any::<Vec<u8>>()) {
            shape(&text);
        }
    }
}
