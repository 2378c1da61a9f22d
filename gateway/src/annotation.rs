//! Reads `google.api.http` from a method's options.

use cornjacket_proto::google::api::HttpRule;
use cornjacket_proto::google::api::http_rule::Pattern;
use http::Method;
use prost_reflect::{ExtensionDescriptor, MethodDescriptor};

use crate::error::BuildError;

/// The extension's name.
pub(crate) const EXTENSION: &str = "google.api.http";

/// One binding, as it is written.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) http_method: Method,
    pub(crate) path: String,
    pub(crate) body: String,
    pub(crate) response_body: String,
}

/// The bindings of a method: its own and the additional ones. None when it has no annotation.
pub(crate) fn rules(method: &MethodDescriptor, http: &ExtensionDescriptor) -> Result<Vec<Rule>, BuildError> {
    let wrong = |problem: &str| BuildError::Annotation {
        method: method.full_name().to_owned(),
        problem: problem.to_owned(),
    };
    let options = method.options();
    if !options.has_extension(http) {
        return Ok(Vec::new());
    }
    let annotation = options.get_extension(http);
    let mut rule: HttpRule = annotation
        .as_message()
        .and_then(|message| message.transcode_to().ok())
        .ok_or_else(|| wrong("its annotation cannot be read"))?;
    let additional = std::mem::take(&mut rule.additional_bindings);
    if additional.iter().any(|rule| !rule.additional_bindings.is_empty()) {
        return Err(wrong("additional bindings are one level deep"));
    }
    std::iter::once(rule)
        .chain(additional)
        .map(|rule| binding(rule).ok_or_else(|| wrong("a binding without a method of HTTP")))
        .collect()
}

fn binding(rule: HttpRule) -> Option<Rule> {
    let (http_method, path) = match rule.pattern? {
        Pattern::Get(path) => (Method::GET, path),
        Pattern::Put(path) => (Method::PUT, path),
        Pattern::Post(path) => (Method::POST, path),
        Pattern::Delete(path) => (Method::DELETE, path),
        Pattern::Patch(path) => (Method::PATCH, path),
        Pattern::Custom(custom) => (Method::from_bytes(custom.kind.as_bytes()).ok()?, custom.path),
    };
    Some(Rule { http_method, path, body: rule.body, response_body: rule.response_body })
}
