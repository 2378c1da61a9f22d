//! What messages of all kinds are.

use cornjacket_domain::{Event as Valid, Limits, Timestamp};
use cornjacket_proto::events::event::Payload;
use proptest::prelude::*;

use super::*;

const TOPIC: &str = "cornjacket/v1/pump-7/sensor.reading";
const MEASURED: &str = r#"{"measurements":[{"metric":"temperature","value":21.5}]}"#;

fn message(payload: impl Into<Bytes>) -> Message {
    Message { topic: TOPIC.to_owned(), payload: payload.into(), ..Message::default() }
}

fn typed(content_type: &str, payload: impl Into<Bytes>) -> Message {
    Message { content_type: Some(content_type.to_owned()), ..message(payload) }
}

fn with(properties: &[(&str, &str)], message: Message) -> Message {
    let user_properties =
        properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Message { user_properties, ..message }
}

fn at(topic: &str, message: Message) -> Message {
    Message { topic: topic.to_owned(), ..message }
}

fn read(message: &Message) -> Event {
    event_of(message, &Topics::default()).unwrap_or_else(|refused| panic!("{message:?}: {refused}"))
}

/// What is said of a message that is refused.
fn refused(message: &Message) -> String {
    let refused = event_of(message, &Topics::default()).expect_err("it is no event");
    match &refused {
        Refused::Invalid(Invalid::Fields(violations)) => violations[0].field.clone(),
        other => other.reason().to_owned(),
    }
}

fn is_21_5(event: &Event) -> bool {
    assert_eq!((event.source.as_str(), event.subject.as_str()), ("mqtt:pump-7", "pump-7"));
    assert_eq!(event.r#type, "sensor.reading");
    matches!(&event.payload, Some(Payload::SensorReading(reading))
        if reading.measurements[0].metric == "temperature" && reading.measurements[0].value.to_bits() == 21.5_f64.to_bits())
}

#[test]
fn data_alone_and_an_event_are_the_same_reading() {
    let enveloped = format!(r#"{{"id":"1","event_time":"2026-11-26T12:00:00Z","sensorReading":{MEASURED}}}"#);
    let flat = format!(r#"{{"id":"1","eventTime":"2026-11-26T12:00:00Z",{}"#, &MEASURED[1..]);
    for payload in [enveloped, flat] {
        let event = read(&message(payload));
        assert!(is_21_5(&event) && event.id == "1" && event.event_time.is_some());
    }
    let bare = read(&message(MEASURED));
    assert!(is_21_5(&bare) && bare.id.is_empty(), "a new event each time");
    assert!(is_21_5(&read(&typed("application/json", MEASURED))));
}

#[test]
fn cloudevents_come_in_both_modes() {
    let structured = format!(
        r#"{{"specversion":"1.0","id":"1","source":"mqtt:pump-7","type":"sensor.reading","data":{MEASURED}}}"#
    );
    for message in [typed("application/cloudevents+json", structured.clone()), message(structured)] {
        let event = read(&message);
        assert!(is_21_5(&event) && event.id == "1");
    }
    let attributes = [
        ("specversion", "1.0"),
        ("id", "1"),
        ("source", "mqtt:pump-7"),
        ("type", "sensor.reading"),
        ("line", "2"),
    ];
    let event = read(&with(&attributes, typed("application/json", MEASURED)));
    assert!(is_21_5(&event) && event.id == "1" && event.attributes.len() == 1);
}

#[test]
fn protobuf_may_leave_to_the_topic_what_it_says() {
    let json = format!(r#"{{"id":"1","sensorReading":{MEASURED}}}"#);
    let event = read(&message(json));
    for event in [Event { subject: String::new(), source: String::new(), ..event.clone() }, event.clone()] {
        assert_eq!(
            read(&typed("application/protobuf", event.encode_to_vec())),
            read(&message(format!(r#"{{"id":"1","sensorReading":{MEASURED}}}"#)))
        );
    }
    assert_eq!(refused(&typed("application/protobuf", "\u{1}")), "payload");
}

#[test]
fn who_says_something_else_than_the_topic_is_refused_by_the_field() {
    for (payload, field) in [
        (format!(r#"{{"subject":"pump-8","sensorReading":{MEASURED}}}"#), "subject"),
        (format!(r#"{{"source":"pump-7","sensorReading":{MEASURED}}}"#), "source"),
        (format!(r#"{{"type":"sensor.other","sensorReading":{MEASURED}}}"#), "type"),
        (r#"{"specversion":"1.0","id":"1","source":"x","type":"sensor.reading"}"#.to_owned(), "source"),
        (r#"{"measurements":[],"foo":1}"#.to_owned(), "data"),
    ] {
        assert_eq!(refused(&message(payload.clone())), field, "{payload}");
    }
    assert_eq!(refused(&at("elsewhere", message(MEASURED))), "topic");
    assert_eq!(refused(&typed("application/cloudevents-batch+json", "[]")), "content_type");
    assert_eq!(refused(&typed("application/json", "{")), "data");
}

/// Found by the fuzz target: what was sent was in the reason in full, and so in every log line and letter.
#[test]
fn a_refusal_is_short_however_long_the_message() {
    let long = "x".repeat(60_000);
    for message in [
        at(&long, message(MEASURED)),
        message(format!(r#"{{"subject":"{long}","sensorReading":{MEASURED}}}"#)),
        message(format!(r#"{{"{long}":1,"sensorReading":{MEASURED}}}"#)),
        typed("application/cloudevents+json", format!(r#""{long}""#)),
        with(&[(&long, "1"), (&long, "2")], message(MEASURED)),
    ] {
        let refused = event_of(&message, &Topics::default()).expect_err("it is no event").to_string();
        assert!(refused.len() < 1_200, "{} bytes: {}…", refused.len(), &refused[..100]);
    }
}

#[test]
fn what_nobody_knows_is_kept() {
    let door = |payload: &'static str| read(&at("cornjacket/v1/door-3/door.state", message(payload)));
    let event = door(r#"{"id":"door-3","open":true}"#);
    assert!(matches!(event.payload, Some(Payload::Struct(_))) && event.id.is_empty());
    let raw = |event: Event| match event.payload {
        Some(Payload::Raw(raw)) => raw.content_type,
        other => panic!("{other:?}"),
    };
    assert_eq!(raw(door("[1]")), "application/json");
    assert_eq!(raw(door("\u{1}")), "application/octet-stream");
    assert_eq!(raw(read(&typed("image/png", "x"))), "image/png");
    assert_eq!(door("").payload, None, "a will may say nothing");
}

#[test]
fn user_properties_are_attributes_trace_and_id() {
    let properties = [("id", "7"), ("traceparent", "00-a-b-01"), ("tracestate", "x=y"), ("line", "2")];
    let event = read(&with(&properties, message(MEASURED)));
    assert!(is_21_5(&event));
    let trace = event.trace_context.expect("it came with one");
    assert_eq!(
        (event.id.as_str(), trace.traceparent.as_str(), trace.tracestate.as_str()),
        ("7", "00-a-b-01", "x=y")
    );
    assert_eq!(event.attributes.keys().collect::<Vec<_>>(), ["line"]);
    assert_eq!(refused(&with(&[("line", "1"), ("line", "2")], message(MEASURED))), "attributes[\"line\"]");
}

#[test]
fn a_message_that_says_when_it_happened_is_the_same_event_when_it_comes_again() {
    let timed =
        |second: u8| message(format!(r#"{{"event_time":"2026-11-26T12:00:0{second}Z",{}"#, &MEASURED[1..]));
    let id = read(&timed(1)).id;
    assert!(!id.is_empty() && read(&timed(1)).id == id);
    assert_ne!(read(&timed(2)).id, id);
    assert_ne!(read(&at("cornjacket/v1/pump-8/sensor.reading", timed(1))).id, id);
}

#[test]
fn a_retained_message_is_passed_over() {
    let retained = Message { retain: true, ..message(MEASURED) };
    assert_eq!(event_of(&retained, &Topics::default()), Err(Refused::Retained));
}

fn any_message() -> impl Strategy<Value = Message> {
    let topic = prop_oneof![Just(TOPIC.to_owned()), any::<String>(), "cornjacket/v1/[a-z/]{0,9}/[a-z.]{0,9}"];
    let known =
        ["{\"sensorReading\":", "{\"measurements\":[", "{\"specversion\":\"1.0\",", "{\"raw\":{}}", "{}"];
    let payload = prop_oneof![
        any::<Vec<u8>>(),
        (proptest::sample::select(known.to_vec()), any::<String>())
            .prop_map(|(head, tail)| format!("{head}{tail}").into_bytes()),
    ];
    let types =
        ["application/json", "application/protobuf", "application/cloudevents+json", "application/avro", "x"];
    let content_type = proptest::option::of(proptest::sample::select(types.to_vec()));
    let name = prop_oneof![Just("specversion".to_owned()), Just("id".to_owned()), any::<String>()];
    let properties = proptest::collection::vec((name, any::<String>()), 0..4);
    (topic, payload, content_type, properties).prop_map(|(topic, payload, content_type, user_properties)| {
        Message {
            topic,
            payload: payload.into(),
            content_type: content_type.map(ToOwned::to_owned),
            user_properties,
            retain: false,
        }
    })
}

proptest! {
    #[test]
    fn no_message_panics_and_what_is_an_event_is_the_topics(message in any_message()) {
        let topics = Topics::new(["{subject}/{type}"]).expect("a good template");
        let Ok(event) = event_of(&message, &topics) else { return Ok(()) };
        let (subject, event_type) = topics.place(&message.topic).expect("the topic is one of ours");
        prop_assert_eq!((event.subject.as_str(), event.r#type.as_str()), (subject, event_type));
        prop_assert_eq!(&event.source, &source_of(subject));
        prop_assert_eq!(event_of(&message, &topics), Ok(event.clone()));
        // May be refused, by name.
        drop(Valid::new(event, Timestamp::default(), &Limits::default()));
    }
}
