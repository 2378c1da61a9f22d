//! Which data is which payload.

use cornjacket_proto::events::{Measurement, SensorReading};
use cornjacket_proto::{Any, Struct};
use prost::Message;

use super::*;

const SCHEMA: &str = "https://type.googleapis.com/cornjacket.events.v1.SensorReading";

fn reading() -> SensorReading {
    let measurement = Measurement { metric: "temperature".into(), value: 21.5, unit: "Cel".into() };
    SensorReading { measurements: vec![measurement] }
}

const READING: &str = r#"{"measurements":[{"metric":"temperature","value":21.5,"unit":"Cel"}]}"#;

fn kind(payload: Option<&Payload>) -> &'static str {
    match payload {
        None => "none",
        Some(Payload::SensorReading(_)) => "sensor_reading",
        Some(Payload::UserAction(_)) => "user_action",
        Some(Payload::SystemEvent(_)) => "system_event",
        Some(Payload::AnomalyDetected(_)) => "anomaly_detected",
        Some(Payload::BreachExpected(_)) => "breach_expected",
        Some(Payload::FeedbackReported(_)) => "feedback_reported",
        Some(Payload::Struct(_)) => "struct",
        Some(Payload::Any(_)) => "any",
        Some(Payload::Raw(_)) => "raw",
    }
}

#[test]
fn an_object_is_the_message_that_its_type_and_members_say() {
    let deep = |levels: usize| format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
    for (event_type, data, expected) in [
        ("sensor.reading", READING, "sensor_reading"),
        ("plant.reading", READING, "struct"),
        ("sensor.calibrated", r#"{"by":"ada"}"#, "struct"),
        ("user.login", r#"{"user":"ada","action":"login"}"#, "user_action"),
        ("user.login", r#"{"user":"ada","action":"login","ip":"::1"}"#, "struct"),
        ("user.login", "{}", "struct"),
        ("system.health", r#"{"component":"db","status":"DOWN"}"#, "system_event"),
        ("system.health", r#"{"component":"db"}"#, "struct"),
        ("x", r#"{"n":9007199254740992,"x":0.1}"#, "struct"),
        ("x", r#"{"n":9007199254740993}"#, "raw"),
        ("x", r#"{"n":1e999}"#, "raw"),
        ("x", r#"{"a":1,"a":2}"#, "raw"),
        ("x", r#"{"a":"\ud800"}"#, "raw"),
        ("x", &deep(20), "struct"),
        ("x", &deep(60), "raw"),
        ("x", &deep(500), "raw"),
        ("x", "[1]", "raw"),
        ("x", "null", "raw"),
        ("x", "-1.50", "raw"),
    ] {
        assert_eq!(
            kind(payload(event_type, &format!(r#""data":{data}"#)).as_ref()),
            expected,
            "{event_type} {data}"
        );
    }
    assert_eq!(
        payload("sensor.reading", &format!(r#""data":{READING}"#)),
        Some(Payload::SensorReading(reading()))
    );
    assert_eq!(payload("x", ""), None);
}

#[test]
fn what_is_kept_as_it_came_is_kept_to_the_byte() {
    for data in [r#"{ "n" : 9007199254740993 }"#, "[1.10,  -0]", "null"] {
        let event =
            from_structured(envelope("x", &format!(r#""data": {data} "#)).as_bytes()).expect("an event");
        assert_eq!(event.payload, Some(raw("application/json", data.to_owned())));
        let out = to_structured(&event).expect("valid");
        assert!(out.ends_with(&format!(r#""data":{data}}}"#)), "{out}");
    }
}

#[test]
fn a_schema_of_ours_makes_the_message_whatever_the_type() {
    for schema in [SCHEMA, "type.googleapis.com/cornjacket.events.v1.SensorReading"] {
        let json = format!(r#""dataschema":"{schema}","data":{READING}"#);
        assert_eq!(payload("x", &json), Some(Payload::SensorReading(reading())));
        let body = Bytes::from(reading().encode_to_vec());
        let attributes = [
            ("specversion", "1.0"),
            ("id", "1"),
            ("source", "s"),
            ("type", "x"),
            ("subject", "x"),
            ("dataschema", schema),
        ];
        let event = from_binary(attributes, Some("application/protobuf"), body).expect("an event");
        assert_eq!(event.payload, Some(Payload::SensorReading(reading())));
        assert!(event.attributes.is_empty());
    }
}

#[test]
fn protobuf_of_another_schema_is_an_any_and_other_bytes_are_raw() {
    let any = Any { type_url: "type.example.com/a.B".into(), value: vec![8, 1] };
    let json = r#""datacontenttype":"application/protobuf","data_base64":"CAE=""#;
    let with_schema = format!(r#"{json},"dataschema":"type.example.com/a.B""#);
    assert_eq!(payload("x", &with_schema), Some(Payload::Any(any)));
    assert_eq!(payload("x", json), Some(raw("application/protobuf", vec![8, 1])));
    assert_eq!(payload("x", r#""data_base64":"CAE=""#), Some(raw("application/octet-stream", vec![8, 1])));
    assert_eq!(payload("x", r#""datacontenttype":"text/plain","data":"{}""#), Some(raw("text/plain", "{}")));
}

#[test]
fn a_marker_keeps_what_the_rules_would_read_otherwise() {
    let base = from_structured(envelope("sensor.reading", "").as_bytes()).expect("an event");
    let of = |payload| Event { payload: Some(payload), ..base.clone() };
    let same_as_reading = of(Payload::Struct(json::to_struct(READING.as_bytes()).expect("an object")));
    let ours = Any { type_url: SCHEMA.into(), value: reading().encode_to_vec() };
    for event in [
        same_as_reading,
        of(Payload::Struct(Struct::default())),
        of(Payload::Any(ours)),
        of(raw("application/json", READING)),
        of(raw("application/json", "not JSON")),
        of(raw("application/json", "")),
        of(raw("text/plain", "")),
    ] {
        let Binary { attributes, content_type, body } = to_binary(&event).expect("valid");
        assert_eq!(from_binary(attributes, content_type.as_deref(), body).as_ref(), Ok(&event));
        assert_eq!(from_structured(to_structured(&event).expect("valid").as_bytes()).as_ref(), Ok(&event));
    }
}

#[test]
fn a_json_type_that_says_more_is_an_attribute() {
    let json = |content_type: &str| {
        let more = format!(r#""datacontenttype":"{content_type}","data":{{}}"#);
        from_structured(envelope("x", &more).as_bytes()).expect("an event")
    };
    assert!(json("application/json; charset=UTF-8").attributes.is_empty());
    let event = json("application/vnd.x+json");
    assert_eq!(event.attributes.get("datacontenttype"), Some(&text("application/vnd.x+json")));
    assert_eq!(to_binary(&event).expect("valid").content_type.as_deref(), Some("application/vnd.x+json"));
}
