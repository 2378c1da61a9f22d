//! How soon an event can be asked for. A program of its own: cargo runs it when no other test is running.

#[allow(dead_code, reason = "tests/system.rs uses all of it")]
mod system {
    pub mod cornjacket;
    pub mod events;
    pub mod expected;
    pub mod full_stack;
}

use std::time::{Duration, Instant};

use cornjacket_proto::ingest::AppendRequest;
use cornjacket_proto::query::GetProjectionRequest;
use system::cornjacket::{Cornjacket, stop};
use system::events::reading;
use system::full_stack::FullStack;

/// One after the other, so that neither measures the other.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_in_the_state_of_its_device_within_milliseconds() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    latency("embedded", &Cornjacket::embedded(folder.path())?).await?;
    let full_stack = FullStack::shared().await?;
    latency("PostgreSQL and Kafka", &full_stack.cornjacket(&[])?).await
}

/// Appends one event after the other and asks for the state with the token: 99 of 100 are there within 100 ms.
async fn latency(name: &str, cornjacket: &Cornjacket) -> anyhow::Result<()> {
    const EVENTS: u32 = 1_000;
    let process = cornjacket.start().await?;
    let (mut ingest, mut query) = (cornjacket.ingest().await?, cornjacket.query().await?);
    let mut took = Vec::new();
    for number in 0..EVENTS {
        let device = format!("pump-{}", number % 10);
        let event = reading(&device, &number.to_string(), f64::from(number));
        let started = Instant::now();
        let receipt = ingest.append(AppendRequest { event: Some(event) }).await?.into_inner().receipt;
        let request = GetProjectionRequest {
            projection: "device_state".into(),
            subject: device,
            consistency_token: receipt.map(|receipt| receipt.consistency_token).unwrap_or_default(),
        };
        let state = query.get_projection(request).await?.into_inner();
        took.push(started.elapsed());
        assert_eq!(state.last_position, u64::from(number) + 1);
    }
    took.sort();
    let (p50, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    println!("{name}: appended and in the state: p50 {p50:?}, p99 {p99:?} of {EVENTS}");
    assert!(p99 < Duration::from_millis(100), "p99 {p99:?}");
    stop(process).await
}
