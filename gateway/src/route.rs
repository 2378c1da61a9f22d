//! A route: one HTTP binding of one method, with its fields looked up.

use http::Method;
use http::uri::PathAndQuery;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};

use crate::annotation::Rule;
use crate::error::BuildError;
use crate::field_path::FieldPath;
use crate::template::Template;

/// One HTTP binding of one method.
#[derive(Clone, Debug)]
pub struct Route {
    /// The HTTP method.
    pub http_method: Method,
    /// The path.
    pub template: Template,
    /// The method that is called.
    pub method: MethodDescriptor,
    /// Where the method is: `/package.Service/Method`.
    pub grpc_path: PathAndQuery,
    /// Its request.
    pub input: MessageDescriptor,
    /// Its response.
    pub output: MessageDescriptor,
    /// What of the request is in the body.
    pub body: BodyRule,
    /// The field of the response that is answered, instead of all of it.
    pub response_body: Option<FieldDescriptor>,
    /// The fields of the template's variables, in its order.
    pub variables: Vec<FieldPath>,
    /// Where an `Idempotency-Key` goes.
    pub idempotency: Option<Keyed>,
    /// The request's `resume_token`, where a stream can be taken up again.
    pub resume_from: Option<FieldDescriptor>,
    /// The response's `resume_token`.
    pub resume_token: Option<FieldDescriptor>,
}

/// What of a request is in the body.
#[derive(Clone, Debug)]
pub enum BodyRule {
    /// Nothing: no body is read.
    None,
    /// `*`: all that is not in the path.
    Whole,
    /// One field.
    Field(FieldDescriptor),
}

/// A field of events whose `id` an `Idempotency-Key` stands in for.
#[derive(Clone, Debug)]
pub struct Keyed {
    /// The field `event`, or `events`.
    pub events: FieldDescriptor,
    /// The event's `id`.
    pub id: FieldDescriptor,
}

impl Route {
    pub(crate) fn new(method: &MethodDescriptor, rule: Rule) -> Result<Self, BuildError> {
        let wrong =
            |problem: String| BuildError::Annotation { method: method.full_name().to_owned(), problem };
        let template = Template::parse(&rule.path)
            .map_err(|source| BuildError::Template { method: method.full_name().to_owned(), source })?;
        if method.is_client_streaming() {
            return Err(wrong("a stream of requests has no place in HTTP/JSON".into()));
        }
        let (input, output) = (method.input(), method.output());
        let variables = template.variables().iter().map(|variable| in_path(&input, &variable.field));
        let grpc_path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        Ok(Self {
            variables: variables.collect::<Result<_, _>>().map_err(wrong)?,
            body: body(&input, &rule.body).map_err(wrong)?,
            response_body: response_body(&output, &rule.response_body).map_err(wrong)?,
            grpc_path: grpc_path.parse().map_err(|_| wrong("its name is no path".into()))?,
            idempotency: if rule.http_method == Method::POST { keyed(&input) } else { None },
            resume_from: resume_token(&input),
            resume_token: resume_token(&output),
            http_method: rule.http_method,
            method: method.clone(),
            template,
            input,
            output,
        })
    }
}

/// A variable's field: one value that can be written as text.
fn in_path(input: &MessageDescriptor, names: &[String]) -> Result<FieldPath, String> {
    let path = FieldPath::resolve(input, names)?;
    let last = path.last();
    let scalar = !last.is_list() && !last.is_map() && !matches!(last.kind(), Kind::Message(_));
    if scalar { Ok(path) } else { Err(format!("`{}` is no single value", names.join("."))) }
}

fn body(input: &MessageDescriptor, name: &str) -> Result<BodyRule, String> {
    match name {
        "" => Ok(BodyRule::None),
        "*" => Ok(BodyRule::Whole),
        _ => field(input, name).map(BodyRule::Field),
    }
}

fn response_body(output: &MessageDescriptor, name: &str) -> Result<Option<FieldDescriptor>, String> {
    if name.is_empty() { Ok(None) } else { field(output, name).map(Some) }
}

fn field(message: &MessageDescriptor, name: &str) -> Result<FieldDescriptor, String> {
    message.get_field_by_name(name).ok_or_else(|| format!("{} has no field `{name}`", message.full_name()))
}

fn keyed(input: &MessageDescriptor) -> Option<Keyed> {
    let events = input.get_field_by_name("event").or_else(|| input.get_field_by_name("events"))?;
    let Kind::Message(event) = events.kind() else { return None };
    let id = event.get_field_by_name("id").filter(|id| id.kind() == Kind::String && !id.is_list())?;
    Some(Keyed { events, id })
}

fn resume_token(message: &MessageDescriptor) -> Option<FieldDescriptor> {
    message.get_field_by_name("resume_token").filter(|field| field.kind() == Kind::String && !field.is_list())
}
