//! Laws of rules, by what a definition and an event make of them.

mod conditions;
mod hostile;
mod templates;

use std::time::Duration;

use cornjacket_domain::Violation;
use cornjacket_proto::Struct;
use cornjacket_proto::actions::active_times::TimeRange;
use cornjacket_proto::actions::{self as proto, Severity};
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::{
    AnomalyDetected, AttributeValue, BreachExpected, Event, Measurement, SensorReading, SystemEvent,
    anomaly_detected, attribute_value,
};
use prost_types::value::Kind;
use prost_types::{ListValue, Value};

use super::*;

fn definition() -> proto::Rule {
    proto::Rule {
        name: "hot".into(),
        version: 3,
        types: vec!["*".into()],
        endpoints: vec!["ops".into()],
        ..proto::Rule::default()
    }
}

fn rule(definition: &proto::Rule) -> Rule {
    Rule::try_new(definition).expect("a good definition")
}

fn refused(definition: &proto::Rule) -> Vec<(String, String)> {
    let told = |problem: Violation| (problem.field, problem.description);
    Rule::try_new(definition).expect_err("a bad definition").into_iter().map(told).collect()
}

fn event(kind: &str, payload: Payload) -> Event {
    Event {
        id: "e-1".into(),
        source: "plant".into(),
        r#type: kind.into(),
        subject: "device-7".into(),
        position: 42,
        event_time: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 }),
        attributes: [("line".to_owned(), attribute("2"))].into(),
        payload: Some(payload),
        ..Event::default()
    }
}

fn attribute(text: &str) -> AttributeValue {
    AttributeValue { value: Some(attribute_value::Value::String(text.into())) }
}

fn anomaly() -> Event {
    event(
        "ai.anomaly_detected",
        Payload::AnomalyDetected(AnomalyDetected {
            series_subject: "device-7".into(),
            metric: "temperature".into(),
            value: 99.0,
            score: 8.25,
            severity: anomaly_detected::Severity::Critical.into(),
            expected: Some(21.3),
            model: "spikes".into(),
            model_version: "1".into(),
            detector: "threshold".into(),
            sample_time: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 }),
            ..AnomalyDetected::default()
        }),
    )
}

fn reading(metrics: &[(&str, f64)]) -> Event {
    let measurement = |(metric, value): &(&str, f64)| Measurement {
        metric: (*metric).into(),
        value: *value,
        unit: "Cel".into(),
    };
    let measurements = metrics.iter().map(measurement).collect();
    event("sensor.reading", Payload::SensorReading(SensorReading { measurements }))
}

fn json(fields: Vec<(&str, Value)>) -> Event {
    let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    event("shop.order", Payload::Struct(Struct { fields }))
}

fn number(number: f64) -> Value {
    Value { kind: Some(Kind::NumberValue(number)) }
}

fn text(text: &str) -> Value {
    Value { kind: Some(Kind::StringValue(text.into())) }
}

fn list(values: Vec<Value>) -> Value {
    Value { kind: Some(Kind::ListValue(ListValue { values })) }
}

#[test]
fn a_rule_knows_what_its_definition_says_and_what_it_leaves_out() {
    let made = rule(&definition());
    assert_eq!((made.name(), made.version(), made.endpoints()), ("hot", 3, &["ops".to_owned()][..]));
    assert_eq!(made.deduplication_window(), Duration::from_mins(5));
    assert_eq!(made.max_age(), Duration::from_hours(1));
    assert!(!made.is_disabled());
    let stated = proto::Rule {
        deduplication_window: Some(prost_types::Duration { seconds: 0, nanos: 0 }),
        max_age: Some(prost_types::Duration { seconds: 604_800, nanos: 0 }),
        disabled: true,
        ..definition()
    };
    let made = rule(&stated);
    assert_eq!(made.deduplication_window(), Duration::ZERO);
    assert_eq!(made.max_age(), Duration::from_hours(7 * 24));
    assert!(made.is_disabled());
}

#[test]
fn groups_have_defaults_and_bounds() {
    let view = proto::Rule { grouping: Some(proto::Grouping::default()), ..definition() };
    let pace = rule(&view).pace().expect("it groups");
    assert_eq!(
        (pace.wait, pace.interval, pace.repeat),
        (Duration::from_secs(30), Duration::from_mins(5), None)
    );
    let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let grouping = proto::Grouping {
        key: "{{ event.subject".into(),
        wait: seconds(3_601),
        interval: seconds(-1),
        repeat: seconds(60),
    };
    let bad = proto::Rule { grouping: Some(grouping.clone()), ..definition() };
    let fields = |bad: &proto::Rule| refused(bad).into_iter().map(|(field, _)| field).collect::<Vec<_>>();
    assert_eq!(fields(&bad), ["grouping.key", "grouping.wait", "grouping.interval", "grouping.repeat"]);
    let repeat = proto::Grouping { repeat: seconds(59), ..proto::Grouping::default() };
    let alarm = Some(proto::AlarmRule::default());
    let bad = proto::Rule { alarm, digest: true, grouping: Some(repeat), ..definition() };
    assert_eq!(fields(&bad), ["grouping.repeat", "digest"]);
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let nameless = proto::Rule::default();
    assert_eq!(
        refused(&nameless),
        [
            ("name", "is missing"),
            ("types", "needs at least one pattern"),
            ("endpoints", "needs at least one endpoint"),
        ]
        .map(|(field, description)| (field.to_owned(), description.to_owned()))
    );
    let name = "is not 1 to 63 of a-z, 0-9 and -, beginning with a letter";
    let bad = proto::Rule {
        name: "Hot".into(),
        types: vec!["sensor.*".into(), String::new(), "a b".into(), "sensor.*".into()],
        subjects: vec!["pump+".into(), "p".repeat(257)],
        endpoints: vec!["ops".into(), "-x".into(), "ops".into()],
        severity: 9,
        deduplication_window: Some(prost_types::Duration { seconds: 604_801, nanos: 0 }),
        max_age: Some(prost_types::Duration { seconds: 0, nanos: 999_999_999 }),
        condition: "event.subject".into(),
        template: Some(proto::Template { title: "{{".into(), text: "{% set a = 1 %}".into() }),
        ..proto::Rule::default()
    };
    assert_eq!(
        refused(&bad),
        [
            ("name", name),
            ("types[3]", "repeats \"sensor.*\""),
            ("types[1]", "is empty"),
            ("types[2]", "has ' ', so that it matches nothing"),
            ("subjects[0]", "has '+', so that it matches nothing"),
            ("subjects[1]", "has 257 characters; the limit is 256"),
            ("endpoints[2]", "repeats \"ops\""),
            ("endpoints[1]", name),
            ("severity", "9 is no severity"),
            ("deduplication_window", "is not between 0 seconds and 7 days"),
            ("max_age", "is not between 1 seconds and 7 days"),
            ("condition", "is a string, and must be true or false"),
            ("template.title", "has `{{` without `}}` at line 1"),
            ("template.text", "has `set` at line 1; there is only `if` and `for`"),
        ]
        .map(|(field, description)| (field.to_owned(), description.to_owned()))
    );
    let many: Vec<_> = (0..65).map(|index| format!("t{index}")).collect();
    let too_many = proto::Rule { types: many.clone(), endpoints: many, ..definition() };
    assert_eq!(
        refused(&too_many),
        [("types", "has 65 entries; the limit is 64"), ("endpoints", "has 65 entries; the limit is 16")]
            .map(|(field, description)| (field.to_owned(), description.to_owned()))
    );
    let range = |end: &str| TimeRange { end: end.into(), ..TimeRange::default() };
    let times = proto::ActiveTimes { ranges: vec![range("08:00"), range("8")], ..Default::default() };
    let [(field, _)] =
        refused(&proto::Rule { active_times: Some(times), ..definition() }).try_into().expect("one");
    assert_eq!(field, "active_times.ranges[1].end");
    let backwards = Some(prost_types::Duration { seconds: -1, nanos: 0 });
    assert_eq!(refused(&proto::Rule { max_age: backwards, ..definition() }).len(), 1);
}

#[test]
fn a_rule_says_how_much_it_matters_and_else_the_event() {
    let severity = |severity: Severity, event: &Event| {
        rule(&proto::Rule { severity: severity.into(), ..definition() }).severity(event)
    };
    let breach = event(
        "ai.breach_expected",
        Payload::BreachExpected(BreachExpected {
            severity: anomaly_detected::Severity::Info.into(),
            ..BreachExpected::default()
        }),
    );
    let down = event("system.health", Payload::SystemEvent(SystemEvent::default()));
    for (stated, event, expected) in [
        (Severity::Unspecified, anomaly(), Severity::Critical),
        (Severity::Unspecified, breach, Severity::Info),
        (Severity::Unspecified, down, Severity::Warning),
        (
            Severity::Unspecified,
            event("ai.anomaly_detected", Payload::AnomalyDetected(AnomalyDetected::default())),
            Severity::Warning,
        ),
        (Severity::Error, anomaly(), Severity::Error),
    ] {
        assert_eq!(severity(stated, &event), expected, "{stated:?} {event:?}");
    }
}
