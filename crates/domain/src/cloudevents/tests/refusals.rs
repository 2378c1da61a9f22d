//! What is refused, and where it says the fault is.

use super::*;
use crate::violation::Reason;

fn refused(json: &str) -> Vec<String> {
    fields(from_structured(json.as_bytes()).expect_err(json))
}

fn refused_with(more: &str) -> Vec<String> {
    refused(&envelope("sensor.reading", more))
}

#[test]
fn what_is_required_is_named_all_at_once() {
    assert_eq!(refused("{}"), ["specversion", "id", "source", "type", "subject"]);
    assert_eq!(
        refused(r#"{"specversion":"0.3","id":"","source":7,"type":"x","subject":null}"#),
        ["specversion", "id", "source", "subject"]
    );
}

#[test]
fn a_bad_member_is_named() {
    for (more, field) in [
        (r#""time":"yesterday""#, "time"),
        (r#""time":"2018-04-05""#, "time"),
        (r#""time":"2018-04-05T17:31:00""#, "time"),
        (r#""time":5"#, "time"),
        (r#""a":1.5"#, "a"),
        (r#""a":2147483648"#, "a"),
        (r#""a":[]"#, "a"),
        (r#""a":"\ud800""#, "a"),
        (r#""a":1,"a":2"#, "a"),
        (r#""traceparent":true"#, "traceparent"),
        (r#""data":1,"data":1"#, "data"),
        (r#""data":1,"data_base64":"""#, "data_base64"),
        (r#""data_base64":"?""#, "data_base64"),
        (r#""datacontenttype":"text/plain","data":{}"#, "data"),
        (r#""data":{"measurements":[{"metric":"t","value":"hot"}]}"#, "data.measurements[0].value"),
        (r#""data":{"measurements":[],"more":1}"#, "data"),
        (r#""dataschema":"type.googleapis.com/cornjacket.events.v1.UserAction","data":[]"#, "data"),
        (r#""cornjacketpayload":"else""#, PAYLOAD),
        (r#""cornjacketattributes":"[""#, ATTRIBUTES),
        (r#""a":1,"cornjacketattributes":"{\"attributes\":{\"a\":{\"boolean\":true}}}""#, "a"),
    ] {
        assert_eq!(refused_with(more), [field], "{more}");
    }
}

#[test]
fn malformed_json_names_line_and_column() {
    assert_eq!(refused("{\n  \"id\": }"), ["@2:9"]);
    assert_eq!(refused("[]"), ["@1:0"]);
    assert_eq!(refused(""), ["@1:0"]);
    let attributes = [("specversion", "1.0")];
    let binary = from_binary(attributes, Some("application/json"), Bytes::from_static(b"{\n1}"));
    assert_eq!(fields(binary.expect_err("malformed")), ["data@2:1"]);
    let invalid = crate::Invalid::from(from_structured(b"{\n1}").expect_err("malformed"));
    let crate::Invalid::Fields(violations) = invalid else { panic!("a field is bad") };
    assert_eq!(violations[0].reason, Reason::Grammar);
    assert_eq!(violations[0].description, "key must be a string at line 2, column 1");
}

#[test]
fn one_bad_event_of_a_batch_does_not_spoil_the_others() {
    let batch = format!("[{},7,{{}},{}]", envelope("x", ""), envelope("x", r#""time":"now""#));
    let read = from_batch(batch.as_bytes()).expect("a batch");
    let faults: Vec<_> =
        read.into_iter().map(|event| event.map_err(fields).err().unwrap_or_default()).collect();
    assert_eq!(faults[0], [""; 0]);
    assert_eq!(faults[1], ["[1]"]);
    assert_eq!(faults[2][2], "[2].source");
    assert_eq!(faults[3], ["[3].time"]);
    assert_eq!(fields(from_batch(b"{}").expect_err("no array")), ["@1:0"]);
    assert_eq!(fields(from_batch(b"[{},\n{]").expect_err("malformed")), ["@2:2"]);
}

/// An answer to a few megabytes of JSON is not hundreds of them.
#[test]
fn what_is_said_of_hostile_json_is_bounded() {
    let batch = |items: usize| from_batch(format!("[{}7]", "7,".repeat(items - 1)).as_bytes());
    assert_eq!(batch(5_000).expect("a batch").len(), 5_000);
    let Err(Unreadable::Fields(violations)) = batch(5_001) else { panic!("too many bad events") };
    assert_eq!(violations[0].reason, Reason::TooMany);
    assert_eq!(refused_with(r#""a":1.5,"#.repeat(1_000).trim_end_matches(',')).len(), 100);
}

#[test]
fn an_attribute_that_is_there_twice_is_refused() {
    let of = |name| {
        let required = ["id", "source", "type", "subject"].map(|name| (name, "x"));
        let attributes = required.into_iter().chain([("specversion", "1.0"), (name, "text/plain")]);
        from_binary(attributes, Some("text/html"), Bytes::new()).map_err(fields)
    };
    assert_eq!(of("id"), Err(vec!["id".into()]));
    assert_eq!(of("datacontenttype"), Err(vec!["datacontenttype".into()]));
    assert!(of("a").is_ok());
}
