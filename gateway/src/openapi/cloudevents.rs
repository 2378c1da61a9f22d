//! CloudEvents 1.0 over HTTP: the path that no annotation can describe, written by hand beside this file.

use prost_reflect::DescriptorPool;
use serde_json::{Map, Value};

use super::problem;
use super::schemas::Schemas;

/// The path's operation, and the schema `CloudEvent` that it refers to.
const FRAGMENT: &str = include_str!("cloudevents.json");
const PATH: &str = "/api/v1/ingest/cloudevents";
/// What the path answers with: one event is as `Append`, many are as `AppendBatch`.
const ANSWERS: [&str; 2] =
    ["cornjacket.ingest.v1.AppendResponse", "cornjacket.ingest.v1.AppendBatchResponse"];

/// Adds the path, where the contract has what it answers with.
pub(super) fn add(pool: &DescriptorPool, paths: &mut Map<String, Value>, schemas: &mut Schemas) {
    let answers: Vec<_> = ANSWERS.iter().filter_map(|name| pool.get_message_by_name(name)).collect();
    if answers.len() < ANSWERS.len() {
        return;
    }
    for answer in answers {
        schemas.message(&answer);
    }
    let mut fragment: Value = serde_json::from_str(FRAGMENT).expect("the fragment is JSON, a test reads it");
    schemas.insert("CloudEvent", fragment["schema"].take());
    let mut operation = fragment["operation"].take();
    if let Some(responses) = operation["responses"].as_object_mut() {
        problem::answer(responses);
    }
    paths.insert(PATH.into(), serde_json::json!({ "post": operation }));
}
