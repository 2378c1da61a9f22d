//! Query parameters onto the fields of a request.
//!
//! `page_size=5`, `pageSize=5`: a field by either name. `a.b=c`: a field of a message in a field. A repeated field takes one
//! value from each parameter: `aggregations=AGGREGATION_MIN&aggregations=AGGREGATION_MAX`.
//!
//! Repeated messages are counted: the n-th parameter of a name is of the n-th message, so that
//! `series.subject=a&series.metric=t&series.subject=b&series.metric=u` are two series. An index says it outright:
//! `series[0].subject=a`; it is needed where a message of a list has a list itself, and leaves no gaps. Maps cannot be
//! given.

use std::borrow::Cow;
use std::collections::HashMap;

use percent_encoding::percent_decode_str;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, Value};

use crate::field_error::FieldError;
use crate::route::BodyRule;
use crate::scalar;

/// A parameter's way into the request.
struct Parameter<'a> {
    key: &'a str,
    value: &'a str,
}

/// Sets the fields that `query` has; one that is in the body according to `body` is refused.
pub(crate) fn bind(message: &mut DynamicMessage, query: &str, body: &BodyRule) -> Result<(), FieldError> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (key, value) = (text(key, key)?, text(value, key)?);
        in_body(&message.descriptor(), &key, body)?;
        let count = seen.entry(key.to_string()).or_default();
        Parameter { key: &key, value: &value }.put(message, &key, *count)?;
        *count += 1;
    }
    Ok(())
}

/// `application/x-www-form-urlencoded` undone.
fn text<'a>(encoded: &'a str, key: &str) -> Result<Cow<'a, str>, FieldError> {
    let malformed = || FieldError::new(key, "MALFORMED", "percent-encoded bytes that are no UTF-8");
    if !encoded.contains('+') {
        return percent_decode_str(encoded).decode_utf8().map_err(|_| malformed());
    }
    let spaced = encoded.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().map_err(|_| malformed())?;
    Ok(Cow::Owned(decoded.into_owned()))
}

fn in_body(message: &MessageDescriptor, key: &str, body: &BodyRule) -> Result<(), FieldError> {
    let first = key.split(['.', '[']).next().unwrap_or_default();
    let taken = match body {
        BodyRule::None => false,
        BodyRule::Whole => true,
        BodyRule::Field(field) => named(message, first).is_some_and(|named| named == *field),
    };
    if taken && named(message, first).is_some() {
        return Err(FieldError::new(key, "IN_BODY", "belongs to the body, not to the query"));
    }
    Ok(())
}

fn named(message: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    message.get_field_by_json_name(name).or_else(|| message.get_field_by_name(name))
}

impl Parameter<'_> {
    fn wrong(&self, reason: &str, description: &str) -> FieldError {
        FieldError::new(self.key, reason, description)
    }

    /// Sets what `steps` leads to from `message`; `element` is how many parameters of that name came
    /// before, which counts in the first repeated message on the way.
    fn put(&self, message: &mut DynamicMessage, steps: &str, element: usize) -> Result<(), FieldError> {
        let (step, rest) = steps.split_once('.').map_or((steps, None), |(step, rest)| (step, Some(rest)));
        let (name, index) = self.indexed(step)?;
        let field = named(&message.descriptor(), name)
            .ok_or_else(|| self.wrong("UNKNOWN_FIELD", "there is no such parameter"))?;
        if field.is_map() || (index.is_some() && !field.is_list()) {
            return Err(
                self.wrong("MALFORMED", "only repeated fields have indexes, and maps cannot be given")
            );
        }
        let Some(rest) = rest else { return self.set(message, &field, index, element) };
        if !matches!(field.kind(), Kind::Message(_)) {
            return Err(
                self.wrong("UNKNOWN_FIELD", "there is no such parameter: what holds it is no message")
            );
        }
        let (slot, element) = match message.get_field_mut(&field) {
            Value::List(list) => {
                // Who is counted here is the first in there; who says its index is not counted.
                let within = if index.is_some() { element } else { 0 };
                (self.element(list, &field, index.unwrap_or(element))?, within)
            }
            single => (single, element),
        };
        match slot {
            Value::Message(nested) => self.put(nested, rest, element),
            _ => Err(self.wrong("MALFORMED", "what holds it is no message")),
        }
    }

    /// `name` or `name[index]`.
    fn indexed<'s>(&self, step: &'s str) -> Result<(&'s str, Option<usize>), FieldError> {
        let Some((name, index)) = step.split_once('[') else { return Ok((step, None)) };
        let index = index.strip_suffix(']').and_then(|index| index.parse().ok());
        let index = index.ok_or_else(|| self.wrong("MALFORMED", "an index is a number in brackets"))?;
        Ok((name, Some(index)))
    }

    /// The element at `index`, made when it is the next: a list grows by one for each parameter, whatever it says.
    fn element<'l>(
        &self,
        list: &'l mut Vec<Value>,
        field: &FieldDescriptor,
        index: usize,
    ) -> Result<&'l mut Value, FieldError> {
        if index == list.len() {
            list.push(Value::default_value(&field.kind()));
        }
        list.get_mut(index).ok_or_else(|| {
            self.wrong("OUT_OF_ORDER", "elements are counted from 0, in order and without gaps")
        })
    }

    fn set(
        &self,
        message: &mut DynamicMessage,
        field: &FieldDescriptor,
        index: Option<usize>,
        earlier: usize,
    ) -> Result<(), FieldError> {
        let value =
            scalar::parse(&field.kind(), self.value).map_err(|text| self.wrong("MALFORMED", &text))?;
        if field.is_list() {
            if let Value::List(list) = message.get_field_mut(field) {
                *self.element(list, field, index.unwrap_or(list.len()))? = value;
            }
            return Ok(());
        }
        let siblings = field.containing_oneof();
        let of_oneof = siblings.is_some_and(|oneof| oneof.fields().any(|other| message.has_field(&other)));
        // A default leaves no trace where a field has no presence: then the count of its name tells.
        if earlier > 0 || of_oneof || message.has_field(field) {
            return Err(self.wrong("DUPLICATE", "given more than once"));
        }
        message.set_field(field, value);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
