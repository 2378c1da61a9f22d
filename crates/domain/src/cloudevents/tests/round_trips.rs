//! Generated events come back as they left, in both modes, but for the types that are documented as lost.

use std::collections::BTreeMap;

use cornjacket_proto::events::{
    AnomalyDetected, BreachExpected, FeedbackReported, Measurement, SensorReading, SystemEvent, TraceContext,
    UserAction,
};
use cornjacket_proto::{Any, Struct, Timestamp};
use proptest::prelude::*;
use prost::Message;
use prost_types::value::Kind;
use prost_types::{ListValue, Value as Json};

use super::*;
use crate::{Limits, Timestamp as Instant};

fn times() -> impl Strategy<Value = Timestamp> {
    (-62_135_596_800..=253_402_300_799_i64, 0..1_000_000)
        .prop_map(|(seconds, micros)| Timestamp { seconds, nanos: micros * 1_000 })
}

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<String>().prop_map(Value::String),
        any::<bool>().prop_map(Value::Boolean),
        any::<i32>().prop_map(Value::Integer),
        any::<Vec<u8>>().prop_map(|bytes| Value::Bytes(bytes.into())),
        ".{0,9}".prop_map(Value::Uri),
        ".{0,9}".prop_map(Value::UriRef),
        times().prop_map(Value::Timestamp),
    ]
}

fn attributes() -> impl Strategy<Value = BTreeMap<String, AttributeValue>> {
    let names = prop_oneof![
        "[a-z0-9]{1,9}",
        "[A-Za-z0-9._-]{1,9}",
        prop::sample::select(vec![
            "id",
            "time",
            "data",
            "datacontenttype",
            "dataschema",
            POSITION,
            PAYLOAD,
            ATTRIBUTES
        ])
        .prop_map(str::to_owned),
    ];
    let types = vec![
        "application/vnd.x+json",
        "application/json",
        "text/plain",
        "type.googleapis.com/cornjacket.events.v1.SensorReading",
    ];
    let values = prop_oneof![4 => values(), 1 => prop::sample::select(types).prop_map(|text| Value::String(text.into()))];
    let attribute = values.prop_map(|value| AttributeValue { value: Some(value) });
    prop::collection::btree_map(names, attribute, 0..5)
}

fn objects() -> impl Strategy<Value = Struct> {
    let leaf = prop_oneof![
        Just(Kind::NullValue(0)),
        any::<bool>().prop_map(Kind::BoolValue),
        any::<f64>().prop_map(Kind::NumberValue),
        any::<i32>().prop_map(|number| Kind::NumberValue(number.into())),
        any::<String>().prop_map(Kind::StringValue),
    ];
    let value = leaf.prop_map(|kind| Json { kind: Some(kind) }).prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|values| Kind::ListValue(ListValue { values })),
            prop::collection::btree_map("[a-z]{0,4}", inner, 0..4)
                .prop_map(|fields| Kind::StructValue(Struct { fields })),
        ]
        .prop_map(|kind| Json { kind: Some(kind) })
    });
    prop::collection::btree_map(".{0,9}", value, 0..4).prop_map(|fields| Struct { fields })
}

fn typed() -> impl Strategy<Value = Payload> {
    let measurements =
        prop::collection::btree_map("[a-z]{1,4}", (any::<f64>(), ".{0,9}"), 1..4).prop_map(|all| {
            let measurement = |(metric, (value, unit))| Measurement { metric, value, unit };
            Payload::SensorReading(SensorReading { measurements: all.into_iter().map(measurement).collect() })
        });
    let actions = (".{1,9}", ".{1,9}", ".{0,9}", prop::option::of(objects())).prop_map(
        |(user, action, target, details)| {
            Payload::UserAction(UserAction { user, action, target, details, ..UserAction::default() })
        },
    );
    let health = (".{1,9}", 1..=3, any::<String>(), prop::option::of(objects())).prop_map(
        |(component, status, message, details)| {
            Payload::SystemEvent(SystemEvent { component, status, message, details })
        },
    );
    let anomalies = (times(), any::<f64>(), prop::option::of(any::<f64>()), 0..=3).prop_map(
        |(time, value, expected, severity)| {
            let (series_subject, metric, model) = ("pump".into(), "t".into(), "m".into());
            let sample_time = Some(time);
            Payload::AnomalyDetected(AnomalyDetected {
                series_subject,
                metric,
                model,
                sample_time,
                value,
                expected,
                severity,
                ..AnomalyDetected::default()
            })
        },
    );
    let breaches = (times(), any::<f64>(), prop::option::of(times()), 1..3_i32, 0.0..=1.0_f64).prop_map(
        |(time, limit, expected_time, direction, probability)| {
            Payload::BreachExpected(BreachExpected {
                series_subject: "pump".into(),
                metric: "t".into(),
                rule: "hot".into(),
                forecaster: "ets".into(),
                last_time: Some(time),
                limit,
                expected_time,
                direction,
                probability,
                ..BreachExpected::default()
            })
        },
    );
    let words =
        (prop::option::of(times()), 1..3_i32, ".{0,20}").prop_map(|(missed_time, verdict, comment)| {
            Payload::FeedbackReported(FeedbackReported {
                series_subject: "pump".into(),
                metric: "t".into(),
                model: "hot".into(),
                missed_time,
                verdict,
                comment: comment.trim().to_owned(),
                ..FeedbackReported::default()
            })
        });
    prop_oneof![measurements, actions, health, anomalies, breaches, words]
}

fn payloads() -> impl Strategy<Value = Payload> {
    let types = prop_oneof![
        prop::sample::select(vec![
            "application/json",
            "application/protobuf",
            "text/plain",
            "a/b+json",
            "image/svg+xml",
            "x"
        ])
        .prop_map(str::to_owned),
        ".{1,9}",
    ];
    let data = prop_oneof![any::<Vec<u8>>(), "[\\[\\]{}\",:0-9. a]{0,9}".prop_map(String::into_bytes)];
    let urls = prop_oneof![Just("type.googleapis.com/cornjacket.events.v1.UserAction".to_owned()), ".{1,9}"];
    prop_oneof![
        typed(),
        objects().prop_map(Payload::Struct),
        (types, data).prop_map(|(content_type, data)| raw(&content_type, data)),
        (urls, any::<Vec<u8>>()).prop_map(|(type_url, value)| Payload::Any(Any { type_url, value })),
    ]
}

/// Valid events, as they are stored.
fn events() -> impl Strategy<Value = Event> {
    let names = (".{1,9}", ".{1,9}", "(sensor|user|system|ai|x)\\.[A-Za-z0-9._-]{1,9}", "[^+#]{1,9}");
    let trace = prop::option::of(("[a-z0-9-]{0,9}", ".{0,9}"));
    let parts = (names, prop::option::of(times()), attributes(), prop::option::of(payloads()), trace);
    parts.prop_filter_map(
        "valid",
        |((id, source, r#type, subject), event_time, attributes, payload, trace)| {
            let trace_context =
                trace.map(|(traceparent, tracestate)| TraceContext { traceparent, tracestate });
            let trace_context = trace_context.filter(|trace| *trace != TraceContext::default());
            let event = Event {
                id,
                source,
                r#type,
                subject,
                event_time,
                attributes,
                payload,
                trace_context,
                ..Event::default()
            };
            let valid = crate::Event::new(event, Instant::default(), &Limits::default()).ok()?;
            Some(Event::decode(valid.encoded().clone()).expect("our own bytes"))
        },
    )
}

/// The event without the types that a mode loses where an attribute leaves under its own name.
fn without_types(mut event: Event, keeps: impl Fn(&Value) -> bool) -> Event {
    let has_schema = !matches!(event.payload, None | Some(Payload::Struct(_) | Payload::Raw(_)));
    for (name, attribute) in &mut event.attributes {
        let is_text = !matches!(attribute.value, Some(Value::Boolean(_) | Value::Integer(_)));
        let is_kept = name == "dataschema" && (has_schema || !is_text);
        if let Some(value) = &attribute.value
            && names::fits(name, Some(value))
            && !is_kept
            && !keeps(value)
        {
            *attribute = text(&outgoing::canonical(value.clone()));
        }
    }
    event
}

proptest! {
    #[test]
    fn an_event_comes_back_from_json(event in events()) {
        let json = to_structured(&event).expect("valid");
        let back = from_structured(json.as_bytes()).map_err(|refused| TestCaseError::fail(format!("{refused}: {json}")))?;
        let keeps = |value: &Value| matches!(value, Value::Boolean(_) | Value::Integer(_));
        let expected = without_types(event, keeps);
        prop_assert_eq!(back, expected, "{}", json);
    }

    #[test]
    fn an_event_comes_back_from_binary_mode(event in events()) {
        let Binary { attributes, content_type, body } = to_binary(&event).expect("valid");
        let headers = attributes.iter().map(|(name, value)| (http::header(name), http::encode(value)));
        let decoded = headers.map(|(name, value)| {
            let name = http::attribute(&name).expect("a header of ours");
            let value = http::decode(&name, value.as_bytes()).expect("a header of ours");
            (name, value)
        });
        let back = from_binary(decoded, content_type.as_deref(), body);
        let back = back.map_err(|refused| TestCaseError::fail(format!("{refused}: {attributes:?}")))?;
        let expected = without_types(event, |_| false);
        prop_assert_eq!(back, expected);
    }

    #[test]
    fn no_bytes_panic(bytes in any::<Vec<u8>>(), content_type in prop::option::of("application/(json|protobuf)|.{0,9}")) {
        let _ = from_structured(&bytes);
        let _ = from_batch(&bytes);
        let _ = from_binary([("dataschema", "x")], content_type.as_deref(), bytes.into());
    }

    #[test]
    fn no_json_panics(data in "[\\[\\]{}\",:0-9.eE+a\\\\u -]{0,40}", value in "[\\[\\]{}\",:0-9TZ.\\-a]{0,20}") {
        let _ = from_structured(envelope("sensor.x", &format!(r#""data":{data},"time":{value}"#)).as_bytes());
        let _ = from_structured(envelope("sensor.x", &format!(r#""{ATTRIBUTES}":"{value}","time":"{value}""#)).as_bytes());
    }
}
