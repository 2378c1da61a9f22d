//! What is sent: readings of one measurement each from a thousand devices, with UUIDv7 ids.

use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::{Event, Measurement, SensorReading};
use uuid::Uuid;

const DEVICES: usize = 1_000;

/// The reading with that number; its id is new.
pub fn reading(number: usize) -> Event {
    let value = 20.0 + f64::from(u16::try_from(number % 100).unwrap_or_default()) / 10.0;
    let measurement = Measurement { metric: "temperature".into(), value, unit: "Cel".into() };
    Event {
        id: Uuid::now_v7().to_string(),
        source: "bench/plant-1".into(),
        r#type: "sensor.reading".into(),
        subject: format!("device-{:04}", number % DEVICES),
        payload: Some(Payload::SensorReading(SensorReading { measurements: vec![measurement] })),
        ..Event::default()
    }
}

/// `count` batches of `size` readings.
pub fn batches(count: usize, size: usize) -> Vec<Vec<Event>> {
    (0..count).map(|_| (0..size).map(reading).collect()).collect()
}
