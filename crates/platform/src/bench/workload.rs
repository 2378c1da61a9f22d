//! What is sent: readings of one measurement each from a thousand devices, with UUIDv7 ids.

use std::time::Duration;

use cornjacket_domain::{Clock, SystemClock};
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::{Event, Measurement, SensorReading};
use uuid::Uuid;

/// Who measures.
pub const DEVICES: usize = 1_000;
const DAY: Duration = Duration::from_hours(24);
/// Between two readings of a device.
const PERIOD: Duration = Duration::from_secs(10);

/// The reading with that number; its id is new.
pub fn reading(number: usize) -> Event {
    reading_of(number, 20.0 + f64::from(u16::try_from(number % 100).unwrap_or_default()) / 10.0)
}

/// The same, of a value.
pub fn reading_of(number: usize, value: f64) -> Event {
    let measurement = Measurement { metric: "temperature".into(), value, unit: "Cel".into() };
    Event {
        id: Uuid::now_v7().to_string(),
        source: "bench/plant-1".into(),
        r#type: "sensor.reading".into(),
        subject: device(number),
        payload: Some(Payload::SensorReading(SensorReading { measurements: vec![measurement] })),
        ..Event::default()
    }
}

/// `count` batches of `size` readings.
pub fn batches(count: usize, size: usize) -> Vec<Vec<Event>> {
    (0..count).map(|_| (0..size).map(reading).collect()).collect()
}

/// The device of the reading with that number.
pub fn device(number: usize) -> String {
    format!("device-{:04}", number % DEVICES)
}

/// `count` readings in batches of `size`, as devices would have sent them until now: one every ten seconds.
pub fn history(count: usize, size: usize) -> Vec<Vec<Event>> {
    let rounds = u32::try_from(count.div_ceil(DEVICES)).unwrap_or(u32::MAX);
    let start = SystemClock.now() - PERIOD * rounds;
    let past = |number: usize| {
        let round = u32::try_from(number / DEVICES).unwrap_or(u32::MAX);
        Event { event_time: Some((start + PERIOD * round).to_proto()), ..reading(number) }
    };
    let batches =
        (0..count).step_by(size).map(|first| (first..(first + size).min(count)).map(past).collect());
    batches.rev().collect()
}

/// `count` readings from the number `first` on, in batches of `size`: all of `whole` are spread over the last day.
pub fn day(first: usize, count: usize, whole: std::ops::Range<usize>, size: usize) -> Vec<Vec<Event>> {
    let start = SystemClock.now() - DAY;
    #[allow(clippy::cast_precision_loss, reason = "some millions")]
    let past = |number: usize| {
        let share = (number - whole.start) as f64 / whole.len() as f64;
        Event { event_time: Some((start + DAY.mul_f64(share)).to_proto()), ..reading(number) }
    };
    cut(first..first + count, size, past)
}

/// Callers take the last batch first.
fn cut(numbers: std::ops::Range<usize>, size: usize, event: impl Fn(usize) -> Event) -> Vec<Vec<Event>> {
    let end = numbers.end;
    let batches = numbers.step_by(size).map(|first| (first..(first + size).min(end)).map(&event).collect());
    let mut batches: Vec<Vec<Event>> = batches.collect();
    batches.reverse();
    batches
}
