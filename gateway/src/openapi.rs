//! The `OpenAPI` 3.1 document of every method that has a `google.api.http` annotation, made from the descriptors alone.
//!
//! [`rules`] reads the annotations, [`paths`] makes an operation of each, with [`parameters`] for what is not in the
//! body; [`schemas`] says what messages are in canonical protobuf JSON, and [`comments`] what they mean. Errors are
//! [`problem`]s. [`cloudevents`] is the one path that no annotation can describe.

use prost_reflect::DescriptorPool;
use serde_json::{Map, Value, json};

use schemas::Schemas;

mod cloudevents;
mod comments;
mod examples;
mod parameters;
mod paths;
mod problem;
mod rules;
mod scalars;
mod schemas;
mod streams;
mod template;
#[cfg(test)]
mod tests;
mod well_known;

/// The name of the only security scheme.
const BEARER: &str = "bearer";

/// What the document says about the server that serves it, beside its methods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The version of the API, such as `0.1.0`.
    pub version: String,
    /// The base URLs that callers may use, such as `https://events.example.org`; none means the document's own.
    pub servers: Vec<String>,
}

/// The `OpenAPI` 3.1 document (<https://spec.openapis.org/oas/v3.1.1>) of every annotated method in `pool`.
///
/// `pool` must have `google.api.http` as an extension, or the document has no paths; comments become descriptions
/// where `pool` has kept its source info. The same pool gives the same document.
pub fn document(pool: &DescriptorPool, about: &About) -> Value {
    let mut schemas = Schemas::default();
    let mut paths = paths::paths(pool, &mut schemas);
    cloudevents::add(pool, &mut paths, &mut schemas);
    streams::add(&mut schemas);
    problem::add(&mut schemas);
    let mut document = json!({
        "openapi": "3.1.1",
        "info": info(about),
        "tags": tags(pool),
        "paths": paths,
        "components": {
            "schemas": schemas.finish(),
            "parameters": parameters::headers(),
            "responses": problem::responses(),
            "headers": problem::headers(),
            "securitySchemes": { BEARER: bearer() },
        },
    });
    if !about.servers.is_empty() {
        document["servers"] = about.servers.iter().map(|url| json!({ "url": url })).collect();
    }
    document
}

fn info(about: &About) -> Value {
    json!({
        "title": "Cornjacket",
        "version": about.version,
        "description": "Takes events in, keeps every one that it acknowledged, and makes state of them.\n\n\
            JSON is the canonical JSON of protobuf (https://protobuf.dev/programming-guides/json/): what has its \
            default value is left out of answers, and 64-bit integers are strings. The schemas say what is sent; of \
            requests other spellings are understood as well, such as numbers for 64-bit integers, the numbers of \
            enum values, and names in snake_case.",
        "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
    })
}

fn bearer() -> Value {
    json!({
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A token with the scope of the service: `ingest`, `query`, `actions` or `admin`. Its claims \
            `subjects` and `sources` may limit further what it can write and read.",
    })
}

/// One tag for each service that has a path.
fn tags(pool: &DescriptorPool) -> Vec<Value> {
    let annotated =
        pool.services().filter(|service| service.methods().any(|method| !rules::of(&method).is_empty()));
    let tag = |service: prost_reflect::ServiceDescriptor| {
        let mut tag = Map::from_iter([("name".to_owned(), json!(service.name()))]);
        comments::describe(&mut tag, &service.parent_file(), service.path());
        Value::Object(tag)
    };
    annotated.map(tag).collect()
}
