//! The document of the contract as it is: nothing missing, nothing dangling, and one operation word for word.

use std::collections::BTreeSet;
use std::path::Path;
use std::{env, fs};

use cornjacket_proto::DESCRIPTOR_POOL;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Map, Value, json};

use super::parameters::header_reference;
use super::rules::{self, Body};
use super::{About, document};

mod shapes;

fn contract_of(pool: &DescriptorPool) -> Value {
    document(pool, &About { version: "1.2.3".into(), servers: Vec::new() })
}

fn contract() -> Value {
    contract_of(&DESCRIPTOR_POOL)
}

fn schema<'a>(document: &'a Value, name: &str) -> &'a Value {
    &document["components"]["schemas"][name]
}

/// Every operation with its path.
fn operations(document: &Value) -> Vec<(&str, &Value)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().expect("there are paths") {
        for operation in item.as_object().expect("a path item is an object").values() {
            found.push((path.as_str(), operation));
        }
    }
    found
}

fn operation<'a>(document: &'a Value, id: &str) -> (&'a str, &'a Value) {
    let named = |(_, operation): &(&str, &Value)| operation["operationId"] == id;
    operations(document).into_iter().find(named).unwrap_or_else(|| panic!("{id} is missing"))
}

/// The names of an operation's own parameters in `place`.
fn names<'a>(operation: &'a Value, place: &str) -> BTreeSet<&'a str> {
    let parameters = operation["parameters"].as_array().expect("every operation has parameters");
    let there = parameters.iter().filter(|parameter| parameter["in"] == place);
    there.filter_map(|parameter| parameter["name"].as_str()).collect()
}

fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get("$ref").and_then(Value::as_str));
            object.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn every_binding_is_an_operation_and_every_id_is_its_own() {
    let document = contract();
    let ids: Vec<_> =
        operations(&document).iter().map(|(_, operation)| operation["operationId"].clone()).collect();
    let methods = DESCRIPTOR_POOL.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    let mut bindings = 0;
    for method in methods {
        let of_method = rules::of(&method).len();
        let id = json!(format!("{}_{}", method.parent_service().name(), method.name()));
        assert_eq!(ids.contains(&id), of_method > 0, "{id}");
        bindings += of_method;
    }
    assert!(bindings > 0);
    assert_eq!(ids.len(), bindings + 1, "two bindings have one path and verb");
    let distinct: BTreeSet<_> = ids.iter().filter_map(Value::as_str).collect();
    assert_eq!(distinct.len(), ids.len(), "{ids:?}");
    assert!(distinct.contains("QueryService_QuerySeries_2"));
}

#[test]
fn every_reference_leads_somewhere() {
    let document = contract();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("a reference stays in the document");
        assert!(document.pointer(pointer).is_some_and(|target| !target.is_null()), "{reference}");
    }
}

#[test]
fn path_parameters_are_those_of_the_template() {
    for (path, operation) in operations(&contract()) {
        let in_template =
            path.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name);
        assert_eq!(names(operation, "path"), in_template.collect(), "{path}");
    }
}

#[test]
fn query_parameters_are_what_is_left_and_nested_ones_are_dotted() {
    let document = contract();
    let (path, get) = operation(&document, "QueryService_GetEvent");
    assert_eq!(path, "/api/v1/query/events/{id}");
    assert_eq!(names(get, "query"), BTreeSet::from(["source", "consistencyToken"]));
    let (_, series) = operation(&document, "QueryService_QuerySeries");
    let query = names(series, "query");
    assert!(query.is_superset(&BTreeSet::from(["series.subject", "series.metric", "step", "aggregations"])));
    assert!(!query.contains("series"));
    let (_, posted) = operation(&document, "QueryService_QuerySeries_2");
    assert!(names(posted, "query").is_empty());
}

#[test]
fn headers_are_those_that_the_method_looks_at() {
    let document = contract();
    let looks_at = |id: &str, header: &str| {
        let (_, operation) = operation(&document, id);
        operation["parameters"].as_array().is_some_and(|all| all.contains(&header_reference(header)))
    };
    assert!(looks_at("IngestService_Append", "IdempotencyKey"));
    assert!(looks_at("IngestService_AppendBatch", "IdempotencyKey"));
    assert!(!looks_at("QueryService_QuerySeries_2", "IdempotencyKey"));
    assert!(looks_at("QueryService_TailEvents", "LastEventId"));
    assert!(!looks_at("AdminService_ReplayEvents", "LastEventId"));
}

#[test]
fn a_body_has_what_is_not_in_the_path() {
    let document = contract();
    let (_, discard) = operation(&document, "AdminService_DiscardDeadLetter");
    let body = &discard["requestBody"]["content"]["application/json"]["schema"];
    let properties = body["properties"].as_object().expect("the rest of the request");
    assert_eq!(properties.keys().collect::<Vec<_>>(), ["reason"]);
    assert_eq!(body["additionalProperties"], false);
}

#[test]
fn answers_are_the_response_or_its_field_or_a_stream() {
    let document = contract();
    let (_, letter) = operation(&document, "AdminService_GetDeadLetter");
    let schema = &letter["responses"]["200"]["content"]["application/json"]["schema"];
    assert_eq!(schema["$ref"], "#/components/schemas/cornjacket.admin.v1.DeadLetter");
    let (_, tail) = operation(&document, "QueryService_TailEvents");
    let content = tail["responses"]["200"]["content"].as_object().expect("content");
    assert_eq!(content.keys().collect::<Vec<_>>(), ["application/x-ndjson", "text/event-stream"]);
    for status in ["400", "401", "403", "404", "409", "413", "429", "500", "503", "504", "default"] {
        assert!(tail["responses"][status].is_object(), "{status}");
    }
}

#[test]
fn schemas_are_canonical_json() {
    let document = contract();
    let event = schema(&document, "cornjacket.events.v1.Event");
    assert_eq!(event["properties"]["position"]["type"], "string", "uint64");
    assert_eq!(event["properties"]["position"]["format"], "uint64");
    assert_eq!(event["properties"]["eventTime"]["format"], "date-time");
    assert_eq!(event["properties"]["struct"]["additionalProperties"], true);
    assert_eq!(event["oneOf"].as_array().map(Vec::len), Some(10), "nine payloads, or none");
    let letter = schema(&document, "cornjacket.admin.v1.DeadLetter");
    assert_eq!(letter["properties"]["value"]["contentEncoding"], "base64");
    assert_eq!(letter["properties"]["partition"]["maximum"], json!(u32::MAX));
    let status = schema(&document, "cornjacket.events.v1.SystemEvent.Status");
    assert_eq!(status["enum"], json!(["STATUS_UNSPECIFIED", "OK", "DEGRADED", "DOWN"]));
    // The oneof of an `optional` field is no choice.
    assert_eq!(schema(&document, "cornjacket.query.v1.Bucket")["oneOf"], Value::Null);
}

#[test]
fn comments_are_descriptions() {
    let document = contract();
    for (path, operation) in operations(&document) {
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{path}");
    }
    for (name, schema) in document["components"]["schemas"].as_object().expect("there are schemas") {
        assert!(schema["description"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
    }
    let receipt = schema(&document, "cornjacket.ingest.v1.Receipt");
    assert_eq!(receipt["description"], "Proof that an event is stored.");
    assert_eq!(receipt["properties"]["position"]["description"], "Its place in the log.");
    assert_eq!(document["tags"].as_array().map(Vec::len), Some(operations_tags(&document)));
}

/// How many tags operations have.
fn operations_tags(document: &Value) -> usize {
    let tags: BTreeSet<_> =
        operations(document).into_iter().filter_map(|(_, operation)| operation["tags"][0].as_str()).collect();
    tags.len()
}

/// Examples decode as what they are examples of.
#[test]
fn examples_are_accepted() {
    let document = contract();
    let mut examples = 0;
    for method in DESCRIPTOR_POOL.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        for (binding, rule) in rules::of(&method).iter().enumerate() {
            let (_, operation) = operation(&document, &super::paths::operation_id(&method, binding));
            let example = &operation["requestBody"]["content"]["application/json"]["example"];
            let message = match &rule.body {
                Body::Field(field) => field.kind().as_message().cloned(),
                Body::Rest | Body::Empty => Some(method.input()),
            };
            if !example.is_null() {
                let message = message.expect("bodies are messages");
                DynamicMessage::deserialize(message, example).expect("an example is canonical JSON");
                examples += 1;
            }
        }
    }
    let written: Value = serde_json::from_str(include_str!("examples.json")).expect("the examples are JSON");
    assert_eq!(written.as_object().map(Map::len), Some(examples), "an example of no operation");
}

#[test]
fn a_pool_without_annotations_has_no_paths() {
    let empty = document(&DescriptorPool::new(), &About { version: "1".into(), servers: vec!["/".into()] });
    assert_eq!(empty["paths"], json!({}));
    assert_eq!(empty["servers"], json!([{ "url": "/" }]));
}

/// `GOLDEN=write` writes the file anew.
#[test]
fn one_operation_word_for_word() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/openapi/append.golden.json");
    let document = contract();
    let (path, append) = operation(&document, "IngestService_Append");
    let found = json!({ path: { "post": append } });
    if env::var_os("GOLDEN").is_some_and(|value| value == "write") {
        let text = serde_json::to_string_pretty(&found).expect("a value is text");
        fs::write(&file, text + "\n").expect("the golden file can be written");
    }
    let golden: Value = serde_json::from_str(&fs::read_to_string(&file).expect("there is a golden file"))
        .expect("the golden file is JSON");
    assert_eq!(found, golden, "GOLDEN=write writes it anew");
}
