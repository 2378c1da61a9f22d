use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::{AttributeValue, Measurement, Raw, SensorReading, TraceContext};
use proptest::prelude::*;

use super::*;

fn reading(metric: &str, value: f64) -> Payload {
    let measurement = Measurement { metric: metric.into(), value, unit: " Cel ".into() };
    Payload::SensorReading(SensorReading { measurements: vec![measurement] })
}

fn sent() -> proto::Event {
    proto::Event {
        id: "e-1".into(),
        source: "plant/1".into(),
        r#type: "sensor.reading".into(),
        subject: "pump-7".into(),
        payload: Some(reading("temperature", 21.5)),
        ..proto::Event::default()
    }
}

fn now() -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000)
}

fn accept(event: proto::Event) -> Result<Event, Invalid> {
    Event::new(event, now(), &Limits::default())
}

/// The fields that are refused when `change` is made to a good event.
fn refused(change: impl FnOnce(&mut proto::Event)) -> Vec<String> {
    let mut event = sent();
    change(&mut event);
    match accept(event) {
        Err(Invalid::Fields(violations)) => violations.into_iter().map(|violation| violation.field).collect(),
        Err(Invalid::TooLarge { .. }) => vec!["<too large>".into()],
        Ok(_) => vec![],
    }
}

#[test]
fn a_good_event_keeps_its_names_and_is_cleaned_in_its_payload() {
    let event = accept(sent()).expect("valid");
    assert_eq!((event.id(), event.source(), event.subject()), ("e-1", "plant/1", "pump-7"));
    let decoded = proto::Event::decode(event.encoded().clone()).expect("our own bytes");
    let Some(Payload::SensorReading(reading)) = decoded.payload else { panic!("the payload is a reading") };
    assert_eq!(reading.measurements[0].unit, "Cel");
}

#[test]
fn every_bad_field_is_named() {
    assert_eq!(refused(|event| event.source.clear()), ["source"]);
    assert_eq!(refused(|event| event.subject = "a+b".into()), ["subject"]);
    assert_eq!(refused(|event| event.subject = "a\0b".into()), ["subject"]);
    assert_eq!(refused(|event| event.id = "x".repeat(129)), ["id"]);
    assert_eq!(refused(|event| event.r#type = "sensor reading".into()), ["type", "sensor_reading"]);
    assert_eq!(refused(|event| event.r#type = "user.login".into()), ["sensor_reading"]);
    assert_eq!(
        refused(|event| event.payload = Some(reading("t", f64::NAN))),
        ["sensor_reading.measurements[0].value"]
    );
    for (metric, is_taken) in [(" events.a", true), ("events.", true), ("events", false), ("event.s", false)]
    {
        let fields = refused(|event| event.payload = Some(reading(metric, 1.0)));
        let named: &[&str] = if is_taken { &["sensor_reading.measurements[0].metric"] } else { &[] };
        assert_eq!(fields, named, "{metric}: there would be two writers");
    }
    let far = prost_types::Timestamp { seconds: i64::MAX, nanos: 0 };
    assert_eq!(refused(|event| event.event_time = Some(far)), ["event_time"]);
    assert_eq!(
        refused(|event| drop(event.attributes.insert("a b".into(), AttributeValue::default()))),
        ["attributes[\"a b\"]", "attributes[\"a b\"]"]
    );
}

#[test]
fn all_bad_fields_are_named_at_once() {
    let fields = refused(|event| {
        event.source.clear();
        event.subject.clear();
        event.payload = Some(reading("", 1.0));
    });
    assert_eq!(fields, ["source", "subject", "sensor_reading.measurements[0].metric"]);
}

#[test]
fn an_event_at_the_size_limit_is_taken_and_one_byte_more_is_not() {
    let of_size = |bytes: usize| {
        let raw = Raw { content_type: "a/b".into(), data: vec![7; bytes].into() };
        let event = proto::Event { payload: Some(Payload::Raw(raw)), ..sent() };
        Event::new(event, now(), &Limits { event_bytes: 1_000, ..Limits::default() })
    };
    let fits = (1..1_000).rev().find(|bytes| of_size(*bytes).is_ok()).expect("some size fits");
    assert_eq!(of_size(fits).expect("fits").encoded().len(), 1_000);
    assert_eq!(of_size(fits + 1), Err(Invalid::TooLarge { bytes: 1_001, limit: 1_000 }));
}

#[test]
fn the_digest_is_over_the_content_and_not_over_the_trace() {
    let digest = |change: fn(&mut proto::Event)| {
        let mut event = sent();
        change(&mut event);
        accept(event).expect("valid").digest()
    };
    let original = digest(|_| {});
    let trace = |parent: &str| Some(TraceContext { traceparent: parent.into(), tracestate: String::new() });
    let traced = proto::Event { trace_context: trace("00-1-2-01"), ..sent() };
    assert_eq!(accept(traced).expect("valid").digest(), original);
    assert_eq!(digest(|event| event.position = 7), original);
    assert_eq!(digest(|event| event.ingest_time = Some(now().to_proto())), original);
    assert_ne!(digest(|event| event.event_time = Some(now().to_proto())), original);
    assert_ne!(digest(|event| event.payload = None), original);
}

#[test]
fn an_event_without_an_id_gets_a_uuid_v7_and_says_so() {
    let event = accept(proto::Event { id: String::new(), ..sent() }).expect("valid");
    let id = Uuid::try_parse(event.id()).expect("a UUID");
    assert_eq!(id.get_version_num(), 7);
    assert!(event.id_generated());
    assert!(!accept(sent()).expect("valid").id_generated());
}

proptest! {
    #[test]
    fn whatever_is_accepted_decodes_to_what_is_accepted_again(
        id in ".{0,140}", source in ".{0,20}", subject in "[a-z+#/ \u{0}-\u{20}]{0,12}", event_type in "[a-zA-Z. ]{0,12}",
        text in ".{0,20}", value in any::<f64>(),
    ) {
        let payload = if event_type.starts_with("sensor.") { reading(&text, value) } else {
            Payload::Raw(Raw { content_type: text, data: Bytes::new() })
        };
        let event = proto::Event { id, source, subject, r#type: event_type, payload: Some(payload), ..sent() };
        if let Ok(first) = accept(event) {
            let decoded = proto::Event::decode(first.encoded().clone()).expect("our own bytes");
            let second = accept(decoded).expect("what was cleaned is clean");
            prop_assert_eq!(first.encoded(), second.encoded());
            prop_assert_eq!(first.digest(), second.digest());
        }
    }
}
