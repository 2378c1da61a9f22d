//! The `google.api.http` annotations of methods.

use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor, MethodDescriptor, Value};

/// The full name of the extension.
const HTTP: &str = "google.api.http";
/// The verbs that have a field of their own in `google.api.HttpRule`.
const VERBS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

/// One binding of a method to HTTP.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    /// The verb in lower case, as `OpenAPI` has it.
    pub(super) verb: String,
    /// The path template.
    pub(super) template: String,
    /// What the body is of the request.
    pub(super) body: Body,
    /// The field that is the body of the response; the whole message otherwise.
    pub(super) response_body: Option<FieldDescriptor>,
}

/// What the body is of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// There is none.
    Empty,
    /// Everything that is not in the path.
    Rest,
    /// One field.
    Field(FieldDescriptor),
}

/// The bindings of `method`, the main one first; none when it has no annotation.
pub(super) fn of(method: &MethodDescriptor) -> Vec<Rule> {
    let Some(extension) = method.parent_pool().get_extension_by_name(HTTP) else { return Vec::new() };
    let options = method.options();
    if !options.has_extension(&extension) {
        return Vec::new();
    }
    let annotation = options.get_extension(&extension);
    let Some(main) = annotation.as_message() else { return Vec::new() };
    let additional = main.get_field_by_name("additional_bindings");
    let additional = additional.as_deref().and_then(Value::as_list).unwrap_or_default();
    let bindings = std::iter::once(main).chain(additional.iter().filter_map(Value::as_message));
    bindings.filter_map(|binding| rule(method, binding)).collect()
}

fn rule(method: &MethodDescriptor, binding: &DynamicMessage) -> Option<Rule> {
    let (verb, template) = pattern(binding)?;
    let body = match text(binding, "body").as_str() {
        "" => Body::Empty,
        "*" => Body::Rest,
        name => Body::Field(method.input().get_field_by_name(name)?),
    };
    let response_body = method.output().get_field_by_name(&text(binding, "response_body"));
    Some(Rule { verb, template, body, response_body })
}

fn pattern(binding: &DynamicMessage) -> Option<(String, String)> {
    if let Some(verb) = VERBS.into_iter().find(|verb| binding.has_field_by_name(verb)) {
        return Some((verb.to_owned(), text(binding, verb)));
    }
    let custom = binding.get_field_by_name("custom")?;
    let custom = custom.as_message()?;
    Some((text(custom, "kind").to_lowercase(), text(custom, "path")))
}

fn text(message: &DynamicMessage, field: &str) -> String {
    let value = message.get_field_by_name(field);
    value.as_deref().and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The field at `path` (`event.id`, in the contract's names) below `message`, and its name in JSON (`event.id`).
pub(super) fn resolve(message: &MessageDescriptor, path: &str) -> Option<(FieldDescriptor, String)> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let field = message.get_field_by_name(first)?;
    let Some(rest) = rest else {
        let name = field.json_name().to_owned();
        return Some((field, name));
    };
    let (found, name) = resolve(field.kind().as_message()?, rest)?;
    Some((found, format!("{}.{name}", field.json_name())))
}
