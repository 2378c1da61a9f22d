//! Shapes that the contract does not have, in a contract made for them.

use std::path::Path;

use prost_reflect::DescriptorPool;
use protox::Compiler;
use serde_json::{Value, json};

use super::{contract_of, names, operation, schema};

fn shapes() -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut compiler =
        Compiler::new([root.join("src/openapi/tests"), root.join("../proto")]).expect("folders of protos");
    compiler.include_source_info(true).include_imports(true);
    compiler.open_file("shapes.proto").expect("a valid proto");
    let pool = DescriptorPool::decode(compiler.encode_file_descriptor_set().as_slice());
    contract_of(&pool.expect("a valid descriptor set"))
}

#[test]
fn a_nested_path_parameter_has_the_pattern_of_its_segments() {
    let document = shapes();
    let (path, put) = operation(&document, "ShapeService_Put");
    assert_eq!(path, "/v1/{shape.name}:put");
    assert_eq!(put["parameters"][0]["schema"]["pattern"], "^shapes/[^/]+/parts/.+$");
    assert_eq!(put["security"], json!([{ "bearer": ["shapes"] }]));
    let answer = &put["responses"]["200"]["content"]["application/json"]["schema"];
    assert_eq!(answer["items"], json!({ "type": "string" }));
}

#[test]
fn what_is_not_the_body_is_in_the_query() {
    let document = shapes();
    let (_, put) = operation(&document, "ShapeService_Put");
    assert_eq!(names(put, "query").into_iter().collect::<Vec<_>>(), ["limit", "updateMask"]);
}

#[test]
fn a_message_that_contains_itself_ends_and_what_is_no_text_is_no_parameter() {
    let document = shapes();
    let (path, query) = operation(&document, "ShapeService_Put_2");
    assert_eq!(path, "/v1/shapes/{limit}");
    assert_eq!(document["paths"][path]["query"]["operationId"], "ShapeService_Put_2");
    let expected = ["shape.a", "shape.b", "shape.c", "shape.maybe", "shape.name", "shape.names"];
    let expected: Vec<_> = expected.into_iter().chain(["shape.parts.size", "updateMask"]).collect();
    assert_eq!(names(query, "query").into_iter().collect::<Vec<_>>(), expected);
    let sizes = query["parameters"].as_array().expect("parameters");
    let sizes = sizes.iter().find(|parameter| parameter["name"] == "shape.parts.size").expect("it is there");
    assert_eq!(sizes["schema"]["type"], "array");
}

#[test]
fn well_known_messages_and_maps_have_their_json() {
    let document = shapes();
    let shape = schema(&document, "cornjacket.shapes.v1.Shape");
    let property = |name: &str| &shape["properties"][name];
    assert_eq!(property("inner")["$ref"], "#/components/schemas/cornjacket.shapes.v1.Shape");
    assert_eq!(property("sizes")["additionalProperties"]["format"], "int64");
    assert_eq!(property("maybe")["type"], "boolean");
    assert_eq!(property("whatever"), &json!({ "description": "Whatever." }));
    assert_eq!(property("c")["type"], "null");
    assert_eq!(property("d")["type"], "array");
    assert_eq!(property("b")["anyOf"][1]["enum"][0], "NaN");
    assert_eq!(shape["allOf"].as_array().map(Vec::len), Some(2), "two oneofs");
}
