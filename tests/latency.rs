//! How soon an event can be asked for, and an anomaly is seen. A program of its own: cargo runs it when no other test is running.

#[allow(dead_code, reason = "tests/system.rs uses all of it")]
mod system {
    pub mod cornjacket;
    pub mod events;
    pub mod expected;
    pub mod full_stack;
}

use std::time::{Duration, Instant};

use anyhow::Context;
use cornjacket_proto::admin::{Model, ModelMode, RegisterModelRequest};
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::ingest::AppendRequest;
use cornjacket_proto::json::to_struct;
use cornjacket_proto::query::tail_events_response::Message;
use cornjacket_proto::query::{GetProjectionRequest, TailEventsRequest, TailEventsResponse};
use system::cornjacket::{Cornjacket, stop};
use system::events::reading;
use system::full_stack::FullStack;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tonic::Streaming;

/// One after the other, so that neither measures the other.
static ALONE: Mutex<()> = Mutex::const_new(());
const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_in_the_state_of_its_device_within_milliseconds() -> anyhow::Result<()> {
    let _alone = ALONE.lock().await;
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

#[tokio::test(flavor = "multi_thread")]
async fn an_anomaly_is_in_a_tail_within_milliseconds() -> anyhow::Result<()> {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir()?;
    anomalies("embedded", &Cornjacket::embedded(folder.path())?).await?;
    let full_stack = FullStack::shared().await?;
    anomalies("PostgreSQL and Kafka", &full_stack.cornjacket(&[])?).await
}

/// Appends one event after the other, every second of which is an anomaly, and sees each: half of them within 60 ms of the
/// receipt, and 99 of 100 within 400 ms. What is promised is a third and a quarter of it, of a release build
/// (`cornjacket bench anomalies`).
async fn anomalies(name: &str, cornjacket: &Cornjacket) -> anyhow::Result<()> {
    const ANOMALIES: u32 = 500;
    let process = cornjacket.start().await?;
    let model = Model {
        name: "hot".into(),
        detector: "threshold".into(),
        parameters: Some(to_struct(r#"{"upper": 80}"#)?),
        mode: ModelMode::Active.into(),
        ..Model::default()
    };
    cornjacket.admin().await?.register_model(RegisterModelRequest { model: Some(model) }).await?;
    let request = TailEventsRequest { r#type: "ai.anomaly_detected".into(), ..TailEventsRequest::default() };
    let mut tail = cornjacket.query().await?.tail_events(request).await?.into_inner();
    let mut ingest = cornjacket.ingest().await?;
    let mut took = Vec::new();
    for number in 0..ANOMALIES {
        for (id, value) in [(format!("{number} before"), 20.0), (number.to_string(), 99.0)] {
            ingest.append(AppendRequest { event: Some(reading("pump", &id, value)) }).await?;
        }
        let accepted = Instant::now();
        let cause = timeout(SOON, next_cause(&mut tail)).await.context("no anomaly is seen")??;
        took.push(accepted.elapsed());
        assert_eq!(cause, number.to_string());
    }
    // Consumers join their groups meanwhile.
    let mut took = took.split_off(50);
    took.sort();
    let (p50, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    println!("{name}: from the receipt to the anomaly in a tail: p50 {p50:?}, p99 {p99:?} of {}", took.len());
    assert!(p50 < Duration::from_millis(60), "p50 {p50:?}");
    assert!(p99 < Duration::from_millis(400), "p99 {p99:?}");
    stop(process).await
}

/// The id of the event that the next anomaly in the tail is about.
async fn next_cause(tail: &mut Streaming<TailEventsResponse>) -> anyhow::Result<String> {
    loop {
        let response = tail.message().await?.context("the tail goes on")?;
        if let Some(Message::Event(event)) = response.message
            && let Some(Payload::AnomalyDetected(anomaly)) = event.payload
        {
            return Ok(anomaly.cause_id);
        }
    }
}
