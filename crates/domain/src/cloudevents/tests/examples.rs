//! The examples of the specification, which lack only the subject that we need.

use super::*;

const CONTEXT: &str = r#""specversion" : "1.0", "type" : "com.example.someevent", "source" : "/mycontext",
    "subject" : "larger-context", "id" : "A234-1234-1234", "time" : "2018-04-05T17:31:00Z",
    "comexampleextension1" : "value", "comexampleothervalue" : 5, "unsetextension": null"#;

/// The JSON format's examples (3.2): the data as the structured mode has it, and the same in binary mode.
const EXAMPLES: [(&str, &str, &[u8]); 4] = [
    (
        r#""datacontenttype" : "application/vnd.apache.thrift.binary", "data_base64" : "AP8=""#,
        "application/vnd.apache.thrift.binary",
        b"\x00\xff",
    ),
    (
        r#""datacontenttype" : "application/xml", "data" : "<much wow=\"xml\"/>""#,
        "application/xml",
        br#"<much wow="xml"/>"#,
    ),
    (
        r#""datacontenttype" : "application/json", "data" : {"appinfoA" : "abc", "appinfoB" : 123, "appinfoC" : true}"#,
        "application/json",
        br#"{"appinfoA":"abc","appinfoB":123,"appinfoC":true}"#,
    ),
    (r#""data" : "I'm just a string""#, "application/json", br#""I'm just a string""#),
];

fn structured(data: &str) -> Event {
    from_structured(format!("{{{CONTEXT}, {data}}}").as_bytes()).expect("an example of the specification")
}

#[test]
fn both_modes_of_an_example_are_one_event() {
    for (data, content_type, body) in EXAMPLES {
        let attributes = [
            ("specversion", "1.0"),
            ("type", "com.example.someevent"),
            ("source", "/mycontext"),
            ("subject", "larger-context"),
            ("id", "A234-1234-1234"),
            ("time", "2018-04-05T17:31:00Z"),
            ("comexampleextension1", "value"),
            ("comexampleothervalue", "5"),
        ];
        let binary =
            from_binary(attributes, Some(content_type), Bytes::from_static(body)).expect("an example");
        let mut structured = structured(data);
        let other = structured.attributes.insert("comexampleothervalue".into(), text("5"));
        assert_eq!(other.and_then(|other| other.value), Some(Value::Integer(5)), "JSON keeps integers");
        assert_eq!(structured, binary);
        assert_eq!(structured.event_time.expect("said").to_string(), "2018-04-05T17:31:00Z");
        assert_eq!(structured.attributes.len(), 2);
    }
}

#[test]
fn an_example_leaves_as_it_came() {
    for (data, _, _) in EXAMPLES {
        let event = structured(data);
        let out: serde_json::Value =
            serde_json::from_str(&to_structured(&event).expect("valid")).expect("JSON");
        let came: serde_json::Value = serde_json::from_str(&format!("{{{data}}}")).expect("JSON");
        assert_eq!(out.get("data_base64"), came.get("data_base64"));
        assert_eq!(out["comexampleothervalue"], 5);
        assert_eq!(out["time"], "2018-04-05T17:31:00Z");
        match (&out["data"], &came["data"]) {
            // Numbers of a Struct are doubles.
            (serde_json::Value::Object(out), _) => assert_eq!(out["appinfoB"].as_f64(), Some(123.0)),
            (out, came) => assert_eq!(out, came),
        }
    }
}

#[test]
fn a_batch_may_be_empty_and_keeps_its_order() {
    assert_eq!(from_batch(b"[]"), Ok(vec![]));
    assert_eq!(to_batch([]).as_deref(), Ok("[]"));
    let events: Vec<_> = EXAMPLES.iter().map(|(data, _, _)| structured(data)).collect();
    let batch = to_batch(&events).expect("valid");
    let read: Result<Vec<_>, _> = from_batch(batch.as_bytes()).expect("a batch").into_iter().collect();
    assert_eq!(read, Ok(events));
}

#[test]
fn the_content_type_says_the_mode() {
    for (content_type, mode) in [
        (Some("application/cloudevents+json; charset=utf-8"), Some(Mode::Structured)),
        (Some("Application/CloudEvents+JSON"), Some(Mode::Structured)),
        (Some("application/cloudevents-batch+json"), Some(Mode::Batch)),
        (Some("application/cloudevents+avro"), None),
        (Some("application/json"), Some(Mode::Binary)),
        (None, Some(Mode::Binary)),
    ] {
        assert_eq!(Mode::of(content_type), mode, "{content_type:?}");
    }
}

#[test]
fn the_logs_fields_leave_and_do_not_come_back() {
    let stored = Event { position: 42, clock_ahead: true, ..structured(EXAMPLES[0].0) };
    let stored = Event { ingest_time: stored.event_time, ..stored };
    let out: serde_json::Value = serde_json::from_str(&to_structured(&stored).expect("valid")).expect("JSON");
    assert_eq!(out[POSITION], "42");
    assert_eq!(out[INGEST_TIME], "2018-04-05T17:31:00Z");
    assert_eq!(out[CLOCK_AHEAD], true);
    assert_eq!(from_structured(out.to_string().as_bytes()), Ok(structured(EXAMPLES[0].0)));
}
