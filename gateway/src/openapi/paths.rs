//! The operations: one for each binding of a method.

use prost_reflect::{DescriptorPool, MethodDescriptor};
use serde_json::{Map, Value, json};

use super::rules::{Body, Rule, resolve};
use super::schemas::Schemas;
use super::template::Template;
use super::{BEARER, comments, examples, parameters, problem, rules, streams};

/// Paths with their operations; what these refer to is added to `schemas`.
pub(super) fn paths(pool: &DescriptorPool, schemas: &mut Schemas) -> Map<String, Value> {
    let mut paths = Map::new();
    for method in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        for (binding, rule) in rules::of(&method).iter().enumerate() {
            let template = Template::parse(&rule.template);
            let name = |field: &str| {
                resolve(&method.input(), field).map_or_else(|| field.to_owned(), |(_, name)| name)
            };
            let path = paths.entry(template.path(name)).or_insert_with(|| json!({}));
            path[&rule.verb] = operation(&method, binding, rule, &template, schemas);
        }
    }
    paths
}

fn operation(
    method: &MethodDescriptor,
    binding: usize,
    rule: &Rule,
    template: &Template<'_>,
    schemas: &mut Schemas,
) -> Value {
    let id = operation_id(method, binding);
    let mut operation = json!({
        "operationId": id,
        "tags": [method.parent_service().name()],
        "parameters": parameters::of(method, rule, template, schemas),
        "responses": responses(method, rule, schemas),
    });
    if let Some(mut body) = request_body(method, rule, template, schemas) {
        examples::add(&id, &mut body);
        operation["requestBody"] = body;
    }
    let scope = scope(method);
    let comment = comments::comment(&method.parent_file(), method.path()).unwrap_or_default();
    operation["summary"] = json!(comments::summary(&comment));
    operation["description"] = json!(format!("{comment}\n\nNeeds the scope `{scope}`.").trim_start());
    // Of schemes other than OAuth 2 the list names roles, which is what our scopes are.
    operation["security"] = json!([{ BEARER: [scope] }]);
    operation
}

/// `IngestService_Append`; additional bindings are counted from 2.
pub(super) fn operation_id(method: &MethodDescriptor, binding: usize) -> String {
    let id = format!("{}_{}", method.parent_service().name(), method.name());
    if binding == 0 { id } else { format!("{id}_{}", binding + 1) }
}

/// The scope that a token needs: the service's part of its package, `cornjacket.ingest.v1`.
fn scope(method: &MethodDescriptor) -> String {
    let service = method.parent_service();
    service.package_name().split('.').nth(1).unwrap_or_default().to_owned()
}

fn request_body(
    method: &MethodDescriptor,
    rule: &Rule,
    template: &Template<'_>,
    schemas: &mut Schemas,
) -> Option<Value> {
    let input = method.input();
    let (schema, required) = match &rule.body {
        Body::Empty => return None,
        Body::Field(field) => (schemas.field(field), true),
        // Without a body every field has its default, which is as good as `{}`.
        Body::Rest => {
            let in_path = parameters::in_path(template, &input);
            let whole = in_path.is_empty();
            let schema =
                if whole { schemas.message(&input) } else { schemas.message_without(&input, &in_path) };
            (schema, false)
        }
    };
    Some(json!({ "required": required, "content": { "application/json": { "schema": schema } } }))
}

fn responses(method: &MethodDescriptor, rule: &Rule, schemas: &mut Schemas) -> Map<String, Value> {
    let output = method.output();
    let message = match &rule.response_body {
        Some(field) => schemas.field(field),
        None => schemas.message(&output),
    };
    let content = if method.is_server_streaming() {
        streams::content(&message)
    } else {
        json!({ "application/json": { "schema": message } })
    };
    let description = comments::comment(&output.parent_file(), output.path());
    let mut responses = Map::new();
    responses.insert("200".into(), ok(description.as_deref().unwrap_or("Done."), &content));
    problem::answer(&mut responses);
    responses
}

/// The answer to a call that was done.
pub(super) fn ok(description: &str, content: &Value) -> Value {
    json!({
        "description": description,
        "headers": { "x-request-id": { "$ref": "#/components/headers/RequestId" } },
        "content": content,
    })
}
