//! Old encodings are kept for ever: bytes and canonical JSON of every message of `cornjacket.events.v1`.
//!
//! The files in `tests/golden/` are append-only. A new message gets its files with `GOLDEN=write cargo test --test
//! golden`, which never overwrites one that is there.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cornjacket_proto::events::anomaly_detected::{Contribution, Severity};
use cornjacket_proto::events::attribute_value::Value as Attribute;
use cornjacket_proto::events::breach_expected::Direction;
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::feedback_reported::Verdict;
use cornjacket_proto::events::{
    AnomalyDetected, AttributeValue, BreachExpected, Event, FeedbackReported, Measurement, Raw,
    SensorReading, SystemEvent, TraceContext, UserAction, system_event,
};
use cornjacket_proto::{DESCRIPTOR_POOL, decode_dynamic};
use prost::{Message, Name};
use prost_types::value::Kind;
use prost_types::{Any, Duration, Struct, Timestamp, Value};

const PACKAGE: &str = "cornjacket.events.v1.";

/// A message as it is encoded and as JSON.
struct Sample {
    name: String,
    bytes: Vec<u8>,
    json: String,
}

fn sample<M: Message + Name>(name: &str, message: &M) -> Sample {
    let bytes = message.encode_to_vec();
    let dynamic = decode_dynamic::<M>(&bytes).expect("what was encoded decodes");
    // Through a value, which sorts the keys of maps.
    let json = serde_json::to_value(&dynamic).expect("every message has a JSON form");
    let json = serde_json::to_string_pretty(&json).expect("a value is text");
    Sample { name: name.to_owned(), bytes, json: json + "\n" }
}

fn time() -> Timestamp {
    Timestamp { seconds: 1_700_000_000, nanos: 123_456_000 }
}

fn structure() -> Struct {
    let value = |kind| Value { kind: Some(kind) };
    let list =
        prost_types::ListValue { values: vec![value(Kind::BoolValue(true)), value(Kind::NullValue(0))] };
    Struct {
        fields: BTreeMap::from([
            ("count".into(), value(Kind::NumberValue(3.0))),
            ("list".into(), value(Kind::ListValue(list))),
            ("name".into(), value(Kind::StringValue("é".into()))),
        ]),
    }
}

fn reading() -> SensorReading {
    SensorReading { measurements: vec![measurement()] }
}

fn measurement() -> Measurement {
    Measurement { metric: "temperature".into(), value: 21.5, unit: "Cel".into() }
}

fn action() -> UserAction {
    UserAction {
        user: "ada".into(),
        action: "login".into(),
        target: "console".into(),
        session_id: "s-1".into(),
        details: Some(structure()),
    }
}

fn system() -> SystemEvent {
    SystemEvent {
        component: "pump-7".into(),
        status: system_event::Status::Degraded.into(),
        message: "warm".into(),
        details: Some(structure()),
    }
}

fn feedback() -> FeedbackReported {
    FeedbackReported {
        verdict: Verdict::FalseAlarm.into(),
        series_subject: "pump-7".into(),
        metric: "temperature".into(),
        model: "hot".into(),
        model_version: "2".into(),
        anomaly_source: "cornjacket/inference".into(),
        anomaly_id: "a-1".into(),
        missed_time: Some(time()),
        comment: "the filter was changed".into(),
        reported_by: "ann".into(),
    }
}

fn breach() -> BreachExpected {
    BreachExpected {
        series_subject: "pump-7".into(),
        metric: "temperature".into(),
        rule: "too hot soon".into(),
        limit: 80.0,
        direction: Direction::Up.into(),
        severity: Severity::Warning.into(),
        expected_time: Some(Timestamp { seconds: 1_700_003_600, nanos: 0 }),
        earliest_time: Some(Timestamp { seconds: 1_700_001_800, nanos: 0 }),
        probability: 0.75,
        horizon: Some(Duration { seconds: 7_200, nanos: 0 }),
        step: Some(Duration { seconds: 300, nanos: 0 }),
        forecaster: "ets".into(),
        forecaster_version: "1".into(),
        last_time: Some(time()),
        last_value: 71.5,
        last_position: 9,
    }
}

fn contribution() -> Contribution {
    Contribution { feature: "value".into(), weight: 0.75 }
}

fn anomaly() -> AnomalyDetected {
    AnomalyDetected {
        series_subject: "pump-7".into(),
        metric: "temperature".into(),
        sample_time: Some(time()),
        cause_source: "plant/1".into(),
        cause_id: "e-1".into(),
        value: 99.5,
        score: 4.25,
        severity: Severity::Warning.into(),
        expected: Some(21.0),
        expected_lower: Some(20.0),
        expected_upper: Some(22.0),
        contributions: vec![contribution()],
        model: "random_cut_forest".into(),
        model_version: "1".into(),
        parameters_digest: "abc".into(),
        ..AnomalyDetected::default()
    }
}

fn trace() -> TraceContext {
    TraceContext {
        traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into(),
        tracestate: "a=b".into(),
    }
}

fn raw() -> Raw {
    Raw { content_type: "image/png".into(), data: vec![0, 1, 254, 255].into() }
}

fn attributes() -> BTreeMap<String, AttributeValue> {
    let values = [
        Attribute::Boolean(true),
        Attribute::Integer(-7),
        Attribute::String("text".into()),
        Attribute::Bytes(vec![0, 255].into()),
        Attribute::Uri("https://example.org/a".into()),
        Attribute::UriRef("/a#b".into()),
        Attribute::Timestamp(time()),
    ];
    let named = |(number, value)| (format!("attribute{number}"), AttributeValue { value: Some(value) });
    values.into_iter().enumerate().map(named).collect()
}

fn event(payload: Payload) -> Event {
    Event {
        id: "e-1".into(),
        source: "plant/1".into(),
        r#type: "sensor.reading".into(),
        subject: "pump-7".into(),
        event_time: Some(time()),
        ingest_time: Some(time()),
        position: u64::MAX,
        clock_ahead: true,
        attributes: attributes(),
        payload: Some(payload),
        trace_context: Some(trace()),
    }
}

fn samples() -> Vec<Sample> {
    let any =
        Any { type_url: "type.googleapis.com/cornjacket.events.v1.Raw".into(), value: raw().encode_to_vec() };
    let attribute = AttributeValue { value: Some(Attribute::Integer(-7)) };
    vec![
        sample("AnomalyDetected", &anomaly()),
        sample("AnomalyDetected-detector", &AnomalyDetected { detector: "seasonal".into(), ..anomaly() }),
        sample("AnomalyDetected.Contribution", &contribution()),
        sample("AttributeValue", &attribute),
        sample("Event", &event(Payload::SensorReading(reading()))),
        sample("BreachExpected", &breach()),
        sample("Event-breach_expected", &event(Payload::BreachExpected(breach()))),
        sample("Event-anomaly_detected", &event(Payload::AnomalyDetected(anomaly()))),
        sample("Event-any", &event(Payload::Any(any))),
        sample("Event-empty", &Event::default()),
        sample("Event-feedback_reported", &event(Payload::FeedbackReported(feedback()))),
        sample("Event-raw", &event(Payload::Raw(raw()))),
        sample("Event-struct", &event(Payload::Struct(structure()))),
        sample("Event-system_event", &event(Payload::SystemEvent(system()))),
        sample("Event-user_action", &event(Payload::UserAction(action()))),
        sample("FeedbackReported", &feedback()),
        sample("Measurement", &measurement()),
        sample("Raw", &raw()),
        sample("SensorReading", &reading()),
        sample("SystemEvent", &system()),
        sample("TraceContext", &trace()),
        sample("UserAction", &action()),
    ]
}

fn path(sample: &Sample, ending: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{}.{ending}", sample.name))
}

fn check(path: &PathBuf, current: &[u8]) {
    if !path.exists() && std::env::var_os("GOLDEN").is_some() {
        std::fs::write(path, current).expect("the folder can be written to");
    }
    let kept = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(kept == current, "{}: the encoding has changed", path.display());
}

#[test]
fn encodings_are_those_of_the_golden_files() {
    for sample in samples() {
        check(&path(&sample, "binpb"), &sample.bytes);
        check(&path(&sample, "json"), sample.json.as_bytes());
    }
}

#[test]
fn every_message_has_a_golden_file() {
    let samples = samples();
    let messages = DESCRIPTOR_POOL.all_messages();
    let ours = messages.filter(|message| message.full_name().starts_with(PACKAGE) && !message.is_map_entry());
    for message in ours {
        let name = &message.full_name()[PACKAGE.len()..];
        assert!(samples.iter().any(|sample| sample.name == name), "{name} has no sample");
    }
}
