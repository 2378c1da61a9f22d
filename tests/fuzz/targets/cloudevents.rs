//! CloudEvents in every mode: what is read and is a valid event leaves, and comes back as the same. In binary mode the
//! attributes are lines such as `ce-id: 1`, as in HTTP, and an empty line ends them.

use bytes::Bytes;
use cornjacket_domain::cloudevents::{self, Binary, http};
use cornjacket_domain::{Limits, Timestamp};
use cornjacket_proto::events::Event;

/// Runs the target once.
pub fn run(data: &[u8]) {
    if let Ok(event) = cloudevents::from_structured(data) {
        comes_back(event);
    }
    for event in cloudevents::from_batch(data).into_iter().flatten().flatten() {
        comes_back(event);
    }
    if let Some(event) = binary(data) {
        comes_back(event);
    }
}

fn binary(data: &[u8]) -> Option<Event> {
    let end = data.windows(2).position(|bytes| bytes == b"\n\n");
    let (head, body) = end.map_or((data, &b""[..]), |end| (&data[..end], &data[end + 2..]));
    let (mut attributes, mut content_type) = (Vec::new(), None);
    for line in head.split(|byte| *byte == b'\n') {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (std::str::from_utf8(&line[..colon]).ok()?, &line[colon + 1..]);
        match http::attribute(name) {
            Some(name) => attributes.push((name.clone(), http::decode(&name, value).ok()?)),
            None => content_type = Some(std::str::from_utf8(value).ok()?.trim()),
        }
    }
    cloudevents::from_binary(attributes, content_type, Bytes::copy_from_slice(body)).ok()
}

/// Holds for what the log would take.
fn comes_back(event: Event) {
    let Ok(valid) = cornjacket_domain::Event::new(event, Timestamp::default(), &Limits::default()) else {
        return;
    };
    let event: Event = prost::Message::decode(valid.encoded().clone()).expect("our own bytes");
    let json = cloudevents::to_structured(&event).expect("a valid event");
    let back = cloudevents::from_structured(json.as_bytes());
    let back = back.unwrap_or_else(|error| panic!("{error}: {json}"));
    assert_eq!(cloudevents::to_structured(&back).expect("it left before"), json);

    let left = cloudevents::to_binary(&event).expect("a valid event");
    let back = from_headers(left.clone()).unwrap_or_else(|| panic!("{left:?}"));
    assert_eq!(cloudevents::to_binary(&back).expect("it left before"), left);
}

fn from_headers(Binary { attributes, content_type, body }: Binary) -> Option<Event> {
    let carried = attributes.iter().map(|(name, value)| {
        let name = http::attribute(&http::header(name))?;
        let value = http::decode(&name, http::encode(value).as_bytes()).ok()?;
        Some((name, value))
    });
    let attributes: Vec<_> = carried.collect::<Option<_>>()?;
    cloudevents::from_binary(attributes, content_type.as_deref(), body).ok()
}
