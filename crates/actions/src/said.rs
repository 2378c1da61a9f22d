//! What we say of our own doings, as events: of deliveries that are given up, and of endpoints that nothing is sent to any more.

use cornjacket_domain::id_of;
use cornjacket_proto::events::attribute_value::Value;
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::system_event::Status;
use cornjacket_proto::events::{AttributeValue, Event, SystemEvent};
use cornjacket_store::Delivery;
use prost::Message as _;

use crate::Message;

/// What events of ours say they are from.
pub const SOURCE: &str = "cornjacket/actions";
/// How many of our own doings an event comes of, one out of another: an attribute of our events.
pub const DEPTH: &str = "cjdepth";

/// How many of our own doings an event comes of. Nobody else's word counts.
pub fn depth(event: &Event) -> u32 {
    if event.source != SOURCE {
        return 0;
    }
    match event.attributes.get(DEPTH).and_then(|attribute| attribute.value.as_ref()) {
        Some(Value::Integer(depth)) => u32::try_from(*depth).unwrap_or_default(),
        _ => 0,
    }
}

/// A delivery is given up.
pub fn delivery_failed(delivery: &Delivery, message: &Message, attempts: u32, error: &str) -> Vec<u8> {
    let told = &delivery.told;
    let attempts_text = attempts.to_string();
    let text = format!("delivery {} of rule {} was given up: {error}", told.id, told.rule);
    // Sent again and given up again, it is another event.
    let id = id_of(["delivery_failed", &told.id, &attempts_text]);
    let details = [
        ("delivery", told.id.as_str()),
        ("rule", &told.rule),
        ("event_source", &told.source),
        ("event_id", &told.event_id),
        ("attempts", &attempts_text),
        ("error", error),
    ];
    event(id, "system.delivery_failed", &told.endpoint, (Status::Degraded, text), &details, message)
}

/// Nothing is sent to an endpoint any more.
pub fn endpoint_disabled(delivery: &Delivery, message: &Message, reason: &str) -> Vec<u8> {
    let endpoint = &delivery.told.endpoint;
    let text = format!("nothing is sent to endpoint {endpoint} any more: {reason}");
    let id = id_of(["endpoint_disabled", &delivery.told.id, &delivery.attempts.to_string()]);
    let details = [("endpoint", endpoint.as_str()), ("reason", reason)];
    event(id, "system.endpoint_disabled", endpoint, (Status::Down, text), &details, message)
}

fn event(
    id: String,
    event_type: &str,
    endpoint: &str,
    (status, message): (Status, String),
    details: &[(&str, &str)],
    cause: &Message,
) -> Vec<u8> {
    let fields = details.iter().map(|(name, text)| {
        let kind = Some(prost_types::value::Kind::StringValue((*text).to_owned()));
        ((*name).to_owned(), prost_types::Value { kind })
    });
    let payload = SystemEvent {
        component: format!("actions/endpoints/{endpoint}"),
        status: status.into(),
        message,
        details: Some(prost_types::Struct { fields: fields.collect() }),
    };
    let deeper = cause.event.as_ref().map_or(0, depth).saturating_add(1);
    let deeper = Value::Integer(i32::try_from(deeper).unwrap_or(i32::MAX));
    let event = Event {
        id,
        source: SOURCE.to_owned(),
        r#type: event_type.to_owned(),
        subject: endpoint.to_owned(),
        attributes: [(DEPTH.to_owned(), AttributeValue { value: Some(deeper) })].into(),
        payload: Some(Payload::SystemEvent(payload)),
        trace_context: cause.event.as_ref().and_then(|event| event.trace_context.clone()),
        ..Event::default()
    };
    event.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use cornjacket_domain::{Limits, Timestamp};

    use super::*;
    use crate::testing;

    #[test]
    fn what_we_say_is_an_event_one_step_deeper() {
        let delivery = testing::delivery("msg", "pager");
        let (mut message, mut depths) = (Message::default(), Vec::new());
        for _ in 0..3 {
            let bytes = delivery_failed(&delivery, &message, 6, "no answer");
            let event = Event::decode(bytes.as_slice()).expect("our own bytes");
            cornjacket_domain::Event::new(event.clone(), Timestamp::default(), &Limits::default())
                .expect("valid");
            depths.push(depth(&event));
            message.event = Some(event);
        }
        assert_eq!(depths, [1, 2, 3]);
        let event =
            Event::decode(endpoint_disabled(&delivery, &message, "gone").as_slice()).expect("our own");
        assert_eq!((event.subject.as_str(), depth(&event)), ("pager", 4));
    }
}
