//! What a request carries beside its body: fields in the path and in the query, and headers.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};
use serde_json::{Map, Value, json};

use super::rules::{Body, Rule, resolve};
use super::schemas::Schemas;
use super::template::{Template, Variable};
use super::{comments, well_known};

/// The message that `Idempotency-Key` can name an id for.
const EVENT: &str = "cornjacket.events.v1.Event";

/// The fields that a template's variables fill, as far as they are fields of the request itself.
pub(super) fn in_path(template: &Template<'_>, input: &MessageDescriptor) -> Vec<FieldDescriptor> {
    template.variables.iter().filter_map(|variable| input.get_field_by_name(variable.field)).collect()
}

/// The parameters of one binding of a method.
pub(super) fn of(
    method: &MethodDescriptor,
    rule: &Rule,
    template: &Template<'_>,
    schemas: &mut Schemas,
) -> Vec<Value> {
    let input = method.input();
    let path = template.variables.iter();
    let mut parameters: Vec<_> =
        path.filter_map(|variable| path_parameter(&input, variable, schemas)).collect();
    let mut elsewhere = in_path(template, &input);
    if let Body::Field(field) = &rule.body {
        elsewhere.push(field.clone());
    }
    if rule.body != Body::Rest {
        let mut query = Query { schemas, parameters: &mut parameters, within: Vec::new() };
        query.fields(&input, &elsewhere, "", false);
    }
    parameters.extend(header_names(method, rule).map(header_reference));
    parameters
}

fn path_parameter(
    input: &MessageDescriptor,
    variable: &Variable<'_>,
    schemas: &mut Schemas,
) -> Option<Value> {
    let (field, name) = resolve(input, variable.field)?;
    let mut schema = schemas.one(&field.kind());
    if matches!(field.kind(), Kind::String) {
        schema["minLength"] = json!(1);
    }
    if let Some(pattern) = variable.pattern() {
        schema["pattern"] = json!(pattern);
    }
    let mut parameter = parameter(&field, &name, "path", schema);
    parameter.insert("required".into(), json!(true));
    if variable.spans_segments() {
        append(&mut parameter, "May contain slashes.");
    }
    Some(Value::Object(parameter))
}

/// A parameter with its field's comment.
fn parameter(field: &FieldDescriptor, name: &str, place: &str, schema: Value) -> Map<String, Value> {
    let mut parameter = Map::from_iter([
        ("name".to_owned(), json!(name)),
        ("in".to_owned(), json!(place)),
        ("schema".to_owned(), schema),
    ]);
    comments::describe(&mut parameter, &field.parent_message().parent_file(), field.path());
    parameter
}

/// Adds a sentence to the description.
fn append(parameter: &mut Map<String, Value>, sentence: &str) {
    let text = parameter.get("description").and_then(Value::as_str).unwrap_or_default();
    let text = format!("{text} {sentence}");
    parameter.insert("description".into(), json!(text.trim_start()));
}

/// Collects the query parameters of a message and the messages in it.
struct Query<'a> {
    schemas: &'a mut Schemas,
    parameters: &'a mut Vec<Value>,
    /// The messages that are being gone through: one that contains itself has no end.
    within: Vec<MessageDescriptor>,
}

impl Query<'_> {
    /// `prefix` is the dotted path of `message`; `repeated` says that a list was on the way to it.
    fn fields(
        &mut self,
        message: &MessageDescriptor,
        elsewhere: &[FieldDescriptor],
        prefix: &str,
        repeated: bool,
    ) {
        for field in message.fields().filter(|field| !elsewhere.contains(field) && !field.is_map()) {
            let name = format!("{prefix}{}", field.json_name());
            let repeated = repeated || field.is_list();
            match field.kind() {
                Kind::Message(inner) if !well_known::is_text(&inner) => self.nested(&inner, &name, repeated),
                kind => self.leaf(&field, &kind, &name, repeated),
            }
        }
    }

    fn nested(&mut self, message: &MessageDescriptor, name: &str, repeated: bool) {
        // What has a JSON of its own but no text, such as a Struct, fits into no parameter.
        if self.within.contains(message) || well_known::schema(message).is_some() {
            return;
        }
        self.within.push(message.clone());
        self.fields(message, &[], &format!("{name}."), repeated);
        self.within.pop();
    }

    fn leaf(&mut self, field: &FieldDescriptor, kind: &Kind, name: &str, repeated: bool) {
        let one = self.schemas.one(kind);
        let schema = if repeated { json!({ "type": "array", "items": one }) } else { one };
        let mut parameter = parameter(field, name, "query", schema);
        if repeated && !field.is_list() {
            append(&mut parameter, "The n-th value is that of the n-th message.");
        }
        if repeated {
            parameter.insert("style".into(), json!("form"));
            parameter.insert("explode".into(), json!(true));
        }
        self.parameters.push(Value::Object(parameter));
    }
}

/// A reference to one of [`headers`].
pub(super) fn header_reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/parameters/{name}") })
}

fn is_event(kind: &Kind) -> bool {
    kind.as_message().is_some_and(|message| message.full_name() == EVENT)
}

/// The headers that a method looks at, by their names in [`headers`].
fn header_names(method: &MethodDescriptor, rule: &Rule) -> impl Iterator<Item = &'static str> {
    let takes_events = method.input().fields().any(|field| is_event(&field.kind()));
    let resumes = method.is_server_streaming() && method.input().get_field_by_name("resume_token").is_some();
    [
        ("RequestId", true),
        ("RequestTimeout", true),
        ("IdempotencyKey", takes_events && rule.verb == "post"),
        ("LastEventId", resumes),
    ]
    .into_iter()
    .filter_map(|(name, looked_at)| looked_at.then_some(name))
}

/// The headers of requests, as `components/parameters`.
pub(super) fn headers() -> Value {
    let header = |name: &str, description: &str, schema: Value| json!({ "name": name, "in": "header", "description": description, "schema": schema });
    json!({
        "RequestId": header(
            "x-request-id",
            "Names the request in logs, and in the answer, which carries it too. One is made when none is sent.",
            json!({ "type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[A-Za-z0-9._-]+$" }),
        ),
        "RequestTimeout": header(
            "Request-Timeout",
            "How many seconds the caller waits; the call ends then with 504.",
            json!({ "type": "number", "minimum": 1, "maximum": 86_400 }),
        ),
        "IdempotencyKey": header(
            "Idempotency-Key",
            "Stands in for the id of an event that has none, with `/` and the event's place from 0 when there are \
                many: sent again, the request gets the first receipts.",
            json!({ "type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$" }),
        ),
        "LastEventId": header(
            "Last-Event-ID",
            "The id of the last server-sent event that arrived: a resume token, and used as one.",
            json!({ "type": "string", "pattern": "^[!-~]*$" }),
        ),
    })
}
