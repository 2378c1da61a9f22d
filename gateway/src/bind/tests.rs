use http::Method;
use prost_reflect::{DescriptorPool, MethodDescriptor};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, MethodDescriptorProto,
    ServiceDescriptorProto,
    field_descriptor_proto::{Label, Type},
};
use serde_json::json;

use super::*;
use crate::annotation::Rule;

fn field(
    name: &str,
    number: i32,
    label: Label,
    r#type: Type,
    type_name: Option<&str>,
) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.into()),
        number: Some(number),
        label: Some(label.into()),
        r#type: Some(r#type.into()),
        type_name: type_name.map(Into::into),
        ..Default::default()
    }
}

fn message(name: &str, field: Vec<FieldDescriptorProto>) -> DescriptorProto {
    DescriptorProto { name: Some(name.into()), field, ..Default::default() }
}

/// The messages of the examples in `google/api/http.proto`, in one: `{message_id, user_id, revision, sub {subfield}, tags}`.
fn method() -> MethodDescriptor {
    let (one, many) = (Label::Optional, Label::Repeated);
    let request = message(
        "Request",
        vec![
            field("message_id", 1, one, Type::String, None),
            field("user_id", 2, one, Type::String, None),
            field("revision", 3, one, Type::Int64, None),
            field("sub", 4, one, Type::Message, Some(".test.Sub")),
            field("tags", 5, many, Type::String, None),
        ],
    );
    let sub = message(
        "Sub",
        vec![field("subfield", 1, one, Type::String, None), field("text", 2, one, Type::String, None)],
    );
    let rpc = MethodDescriptorProto {
        name: Some("Call".into()),
        input_type: Some(".test.Request".into()),
        output_type: Some(".test.Request".into()),
        ..Default::default()
    };
    let service =
        ServiceDescriptorProto { name: Some("Service".into()), method: vec![rpc], ..Default::default() };
    let file = FileDescriptorProto {
        name: Some("test.proto".into()),
        package: Some("test".into()),
        message_type: vec![request, sub],
        service: vec![service],
        syntax: Some("proto3".into()),
        ..Default::default()
    };
    let mut pool = DescriptorPool::new();
    pool.add_file_descriptor_proto(file).expect("a valid file");
    pool.get_service_by_name("test.Service").and_then(|service| service.methods().next()).expect("a method")
}

fn bound(
    path: &str,
    body_rule: &str,
    target: &str,
    body: &str,
) -> Result<serde_json::Value, (String, String)> {
    let rule = Rule {
        http_method: Method::POST,
        path: path.into(),
        body: body_rule.into(),
        response_body: String::new(),
    };
    let route = Route::new(&method(), rule).expect("a route");
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let captures = route.template.matches(path).expect("a match");
    let message = bind(&route, &captures, query, body.as_bytes());
    message
        .map(|message| serde_json::to_value(message).expect("JSON"))
        .map_err(|error| (error.field, error.reason))
}

#[test]
fn the_examples_of_http_proto_are_bound_as_they_say() {
    let all = "/v1/messages/{message_id}";
    let cases = [
        (all, "", "/v1/messages/123456", "", json!({"messageId": "123456"})),
        ("/v1/{message_id=messages/*}", "", "/v1/messages/1", "", json!({"messageId": "messages/1"})),
        (
            all,
            "",
            "/v1/messages/123456?revision=2&sub.subfield=foo",
            "",
            json!({"messageId": "123456", "revision": "2", "sub": {"subfield": "foo"}}),
        ),
        (
            all,
            "sub",
            "/v1/messages/1",
            r#"{"text": "Hi!"}"#,
            json!({"messageId": "1", "sub": {"text": "Hi!"}}),
        ),
        (all, "*", "/v1/messages/1", r#"{"userId": "me"}"#, json!({"messageId": "1", "userId": "me"})),
        (
            "/v1/users/{user_id}/messages/{message_id}",
            "",
            "/v1/users/me/messages/123456",
            "",
            json!({"userId": "me", "messageId": "123456"}),
        ),
        (
            all,
            "tags",
            "/v1/messages/1?revision=7",
            r#"["a"]"#,
            json!({"messageId": "1", "revision": "7", "tags": ["a"]}),
        ),
        (all, "", "/v1/messages/1?tags=a&tags=b", "", json!({"messageId": "1", "tags": ["a", "b"]})),
        ("/v1/{sub.subfield=a/**}", "*", "/v1/a/b", "", json!({"sub": {"subfield": "a/b"}})),
        (all, "*", "/v1/messages/1", r#"{"messageId": "1"}"#, json!({"messageId": "1"})),
    ];
    for (path, body_rule, target, body, expected) in cases {
        assert_eq!(bound(path, body_rule, target, body), Ok(expected), "{path} {body_rule} {target} {body}");
    }
}

#[test]
fn what_contradicts_the_path_is_refused() {
    let conflict = |field: &str| Err((field.to_owned(), "CONFLICT".to_owned()));
    let all = "/v1/messages/{message_id}";
    assert_eq!(bound(all, "*", "/v1/messages/1", r#"{"message_id": "2"}"#), conflict("messageId"));
    assert_eq!(bound(all, "", "/v1/messages/1?message_id=2", ""), conflict("messageId"));
    let nested = bound("/v1/{sub.text}", "sub", "/v1/a", r#"{"text": "b"}"#);
    assert_eq!(nested, conflict("sub.text"));
}

#[test]
fn errors_of_the_body_begin_at_its_field() {
    let malformed = |field: &str| Err((field.to_owned(), "MALFORMED".to_owned()));
    assert_eq!(bound("/v1", "sub", "/v1", r#"{"text": 1}"#), malformed("sub.text"));
    assert_eq!(bound("/v1", "tags", "/v1", "[1]"), malformed("tags[0]"));
    assert_eq!(bound("/v1/{revision}", "", "/v1/x", ""), malformed("revision"));
    assert_eq!(bound("/v1/{message_id}", "", "/v1/%ff", ""), malformed("messageId"));
}
