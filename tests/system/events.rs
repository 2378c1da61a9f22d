//! Events to send.

use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::{Event, Measurement, SensorReading};

/// A reading of `temperature` by `device`; `id` says which.
pub fn reading(device: &str, id: &str, value: f64) -> Event {
    let measurement = Measurement { metric: "temperature".into(), value, unit: "Cel".into() };
    Event {
        id: id.into(),
        source: "system-test".into(),
        r#type: "sensor.reading".into(),
        subject: device.into(),
        payload: Some(Payload::SensorReading(SensorReading { measurements: vec![measurement] })),
        ..Event::default()
    }
}
