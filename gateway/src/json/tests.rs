use cornjacket_proto::{DESCRIPTOR_POOL, events, ingest, query};
use prost_reflect::ReflectMessage;

use super::*;

fn event(text: &str) -> Result<DynamicMessage, FieldError> {
    decode(&cornjacket_proto::descriptor_of::<events::Event>(), text.as_bytes(), "event")
}

/// Field, reason, line, column.
fn place(text: &str) -> (String, String, usize, usize) {
    let error = event(text).expect_err(text);
    (error.field, error.reason, error.line.unwrap_or_default(), error.column.unwrap_or_default())
}

#[test]
fn errors_say_which_field_and_where() {
    let cases = [
        (
            "{\"sensorReading\": {\"measurements\": [\n {\"value\": 1},\n {\"value\": \"warm\"}]}}",
            ("event.sensorReading.measurements[1].value", "MALFORMED", 3, 17),
        ),
        ("{\"id\": 7}", ("event.id", "MALFORMED", 1, 8)),
        ("{\"eventTime\": \"yesterday\"}", ("event.eventTime", "MALFORMED", 1, 25)),
        ("{\"source\": \"a\", \"nope\": 1}", ("event.nope", "UNKNOWN_FIELD", 1, 22)),
        ("{\"sensor_reading\": {\"x\": 1}}", ("event.sensor_reading.x", "UNKNOWN_FIELD", 1, 23)),
        ("{\"id\": \"a\",\n\"id\": \"b\"}", ("event.id", "DUPLICATE_KEY", 2, 4)),
        ("{\"struct\": {\"a\": {\"b\": 1, \"b\": 2}}}", ("event.struct.a.b", "DUPLICATE_KEY", 1, 29)),
        ("{\"struct\": {\"a\": {\"a\": 1, \"a\": 2}}}", ("event.struct.a.a", "DUPLICATE_KEY", 1, 29)),
        ("{\"id\": \"a\"", ("event", "SYNTAX", 1, 10)),
        ("{\"id\": \"a\"} x", ("event", "SYNTAX", 1, 13)),
        ("{\"id\": }", ("event.id", "SYNTAX", 1, 8)),
        ("", ("event", "SYNTAX", 1, 0)),
        ("[]", ("event", "MALFORMED", 1, 0)),
    ];
    for (text, (field, reason, line, column)) in cases {
        assert_eq!(place(text), (field.to_owned(), reason.to_owned(), line, column), "{text}");
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| {
        format!("{{\"struct\": {}{}}}", "{\"a\":".repeat(depth), "1".to_owned() + &"}".repeat(depth))
    };
    assert!(event(&nested(20)).is_ok());
    assert!(event(&nested(40)).expect_err("too deep").description.contains("32 levels"));
    assert!(event(&nested(100_000)).is_err());
}

#[test]
fn the_mapping_is_canonical() {
    let text =
        r#"{"receipt":{"id":"1","position":"9007199254740993","ingestTime":"2026-01-02T03:04:05.600Z"}}"#;
    let descriptor = cornjacket_proto::descriptor_of::<ingest::AppendResponse>();
    let message = decode(&descriptor, text.as_bytes(), "").expect("JSON");
    assert_eq!(String::from_utf8(encode(&message).expect("JSON")).expect("UTF-8"), text);
}

#[test]
fn one_field_is_written_alone() {
    let descriptor = cornjacket_proto::descriptor_of::<query::GetEventResponse>();
    let field = descriptor.get_field_by_name("event").expect("a field");
    let message = decode(&descriptor, br#"{"event":{"id":"1"}}"#, "").expect("JSON");
    assert_eq!(encode_field(&message, &field).expect("JSON"), br#"{"id":"1"}"#);
    let empty = DynamicMessage::new(descriptor);
    assert_eq!(encode_field(&empty, &field).expect("JSON"), b"null");
}

#[test]
fn one_field_is_read_alone() {
    let descriptor = cornjacket_proto::descriptor_of::<query::ListEventsRequest>();
    let field = descriptor.get_field_by_name("page_size").expect("a field");
    let message = decode_field(&field, b"7").expect("a number");
    assert_eq!(message.get_field(&field).as_i32(), Some(7));
    let error = decode_field(&field, b"\"x\"").expect_err("no number");
    assert_eq!((error.field.as_str(), error.column), ("pageSize", Some(3)));
    assert!(DESCRIPTOR_POOL.get_message_by_name(message.descriptor().full_name()).is_some());
}

#[test]
fn what_no_one_here_knows_keeps_its_bytes() {
    let any = cornjacket_proto::Any { type_url: "type.googleapis.com/not.Known".into(), value: vec![1, 2] };
    let event = events::Event {
        id: "1".into(),
        payload: Some(events::event::Payload::Any(any)),
        ..Default::default()
    };
    let mut message = DynamicMessage::new(cornjacket_proto::descriptor_of::<ingest::AppendBatchRequest>());
    message.transcode_from(&ingest::AppendBatchRequest { events: vec![event] }).expect("the same type");
    let json: serde_json::Value = serde_json::from_slice(&encode(&message).expect("JSON")).expect("JSON");
    let any = serde_json::json!({"@type": "type.googleapis.com/not.Known", "value": "AQI="});
    assert_eq!(json, serde_json::json!({"events": [{"id": "1", "any": any}]}));
}
