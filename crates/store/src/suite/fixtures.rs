//! Events and clocks for the laws.

use std::sync::Arc;
use std::time::Duration;

use cornjacket_domain::clock::ManualClock;
use cornjacket_domain::{Event, Limits, StoredEvent, Timestamp};
use cornjacket_proto::events as proto;
use cornjacket_proto::events::event::Payload;

use crate::{Snapshot, Store};

/// Noon of some day.
pub(super) fn noon() -> Timestamp {
    Timestamp::from_day(20_000) + Duration::from_hours(12)
}

pub(super) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(noon()))
}

/// The event `id` about `subject`, whose content says `text`.
pub(super) fn event(id: &str, subject: &str, text: &str) -> Event {
    let raw = proto::Raw { content_type: "text/plain".into(), data: text.as_bytes().to_vec().into() };
    let event = proto::Event {
        id: id.into(),
        source: "suite".into(),
        r#type: format!("test.{subject}"),
        subject: subject.into(),
        payload: Some(Payload::Raw(raw)),
        ..proto::Event::default()
    };
    Event::new(event, noon(), &Limits::default()).expect("a valid event")
}

/// `count` different events about `subject`.
pub(super) fn events(subject: &str, count: usize) -> Vec<Event> {
    (0..count).map(|number| event(&format!("{subject}-{number}"), subject, "x")).collect()
}

/// A snapshot that nothing hurries.
pub(super) async fn snapshot(store: &Store) -> anyhow::Result<Box<dyn Snapshot>> {
    Ok(store.snapshots.begin(Duration::from_mins(1)).await?)
}

pub(super) fn positions(events: &[StoredEvent]) -> Vec<u64> {
    events.iter().map(|event| event.position).collect()
}
