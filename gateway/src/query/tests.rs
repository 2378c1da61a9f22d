use cornjacket_proto::{descriptor_of, events, query};
use prost::Name;

use super::*;

fn bound<M: Name + Default>(text: &str) -> Result<M, FieldError> {
    let mut message = DynamicMessage::new(descriptor_of::<M>());
    bind(&mut message, text, &BodyRule::None)?;
    Ok(message.transcode_to().expect("of that type"))
}

/// Field and reason.
fn refused<M: Name + Default + std::fmt::Debug>(text: &str) -> (String, String) {
    let error = bound::<M>(text).expect_err(text);
    (error.field, error.reason)
}

fn keys(text: &str) -> Vec<(String, String)> {
    let request: query::QuerySeriesRequest = bound(text).expect(text);
    request.series.into_iter().map(|key| (key.subject, key.metric)).collect()
}

#[test]
fn values_of_every_kind_are_read() {
    let event: events::Event = bound(
        "id=a+b%26c&event_time.seconds=5&position=18446744073709551615&clockAhead=true&raw.data=_-8\
         &raw.content_type=image/png&trace_context.traceparent=x",
    )
    .expect("an event");
    assert_eq!(event.id, "a b&c");
    assert_eq!(event.event_time.expect("a time").seconds, 5);
    assert_eq!((event.position, event.clock_ahead), (u64::MAX, true));
    assert_eq!(event.trace_context.expect("a context").traceparent, "x");
    let Some(events::event::Payload::Raw(raw)) = event.payload else { panic!("raw bytes") };
    assert_eq!(raw.data.as_ref(), [0xff, 0xef]);
    let series: query::QuerySeriesRequest =
        bound("step=1.5s&fill=2&end_time=2026-01-02T03:04:05Z&&page_size=-1").expect("a request");
    assert_eq!(series.step.expect("a step").nanos, 500_000_000);
    assert_eq!((series.fill, series.page_size), (2, -1));
}

#[test]
fn repeated_messages_are_counted_or_indexed() {
    let two = [("a".to_owned(), "t".to_owned()), ("b".to_owned(), "u".to_owned())];
    assert_eq!(keys("series.subject=a&series.metric=t&series.subject=b&series.metric=u"), two);
    assert_eq!(keys("series.subject=a&series.subject=b&series.metric=t&series.metric=u"), two);
    assert_eq!(keys("series[0].subject=a&series[1].subject=b&series[1].metric=u&series[0].metric=t"), two);
    let ambiguous = refused::<query::QuerySeriesRequest>("series[0].subject=a&series[0].subject=b");
    assert_eq!(ambiguous.1, "DUPLICATE");
    let gap = refused::<query::QuerySeriesRequest>("series[1].subject=a");
    assert_eq!(gap, ("series[1].subject".into(), "OUT_OF_ORDER".into()));
}

#[test]
fn what_does_not_fit_is_named() {
    let cases = [
        ("nope=1", "nope", "UNKNOWN_FIELD"),
        ("trace_context.nope=1", "trace_context.nope", "UNKNOWN_FIELD"),
        ("id.x=1", "id.x", "UNKNOWN_FIELD"),
        ("position=-1", "position", "MALFORMED"),
        ("event_time=yesterday", "event_time", "MALFORMED"),
        ("trace_context=x", "trace_context", "MALFORMED"),
        ("attributes.a.string=x", "attributes.a.string", "MALFORMED"),
        ("id[0]=1", "id[0]", "MALFORMED"),
        ("id[x]=1", "id[x]", "MALFORMED"),
        ("id=%ff", "id", "MALFORMED"),
        ("id=1&id=2", "id", "DUPLICATE"),
        ("position=0&position=0", "position", "DUPLICATE"),
    ];
    for (text, field, reason) in cases {
        assert_eq!(refused::<events::Event>(text), (field.to_owned(), reason.to_owned()), "{text}");
    }
}

#[test]
fn what_is_in_the_body_is_not_in_the_query() {
    let descriptor = descriptor_of::<query::GetEventRequest>();
    let body = BodyRule::Field(descriptor.get_field_by_name("id").expect("a field"));
    let mut message = DynamicMessage::new(descriptor);
    assert!(bind(&mut message, "source=s", &body).is_ok());
    assert_eq!(bind(&mut message, "id=1", &body).expect_err("in the body").reason, "IN_BODY");
    assert_eq!(bind(&mut message, "source=s", &BodyRule::Whole).expect_err("in the body").reason, "IN_BODY");
}
