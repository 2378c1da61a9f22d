//! A platform as its operators leave it: models have come and gone while events flowed.

use std::time::Duration;

use anyhow::Context;
use cornjacket_domain::{Clock, SystemClock, Timestamp};
use cornjacket_proto::admin::{ModelMode, SetModelModeRequest};
use cornjacket_proto::events::Event;
use cornjacket_proto::query::ListAnomaliesRequest;
use cornjacket_simulator::{Options, Share, Simulation};
use cornjacket_testkit::{Process, wait};

use super::anomalies::{anomalies, register, settled};
use super::cornjacket::Cornjacket;
use super::feedback::false_alarm;
use super::load::{Random, send_all};

const DEADLINE: Duration = Duration::from_mins(2);

/// What watches from the beginning on.
const MODELS: [(&str, &str, &str, ModelMode); 5] = [
    ("limits", "threshold", r#"{"upper": 23, "hold_samples": 2}"#, ModelMode::Active),
    ("jumps", "rate_of_change", r#"{"per_seconds": 60, "rise": 3, "fall": 3}"#, ModelMode::Active),
    ("season", "seasonal", r#"{"level": 0.9, "warm_up": 64, "margin": 1}"#, ModelMode::Active),
    ("forest", "random_cut_forest", r#"{"trees": 5, "samples": 32, "warm_up": 32}"#, ModelMode::Active),
    ("quiet", "silence", r#"{"after_seconds": 604800}"#, ModelMode::Active),
];

fn events() -> Vec<Event> {
    let share = |share| Share::new(share).expect("a share");
    // What the hour adds is the same whenever this runs: it gets warmer than any of the limits.
    let yesterday = Timestamp::from_day(SystemClock.now().day() - 1);
    let simulation = Simulation::new(Options {
        seed: 23,
        start: yesterday + Duration::from_hours(11),
        devices: 25,
        users: 1,
        services: 1,
        faults: share(0.01),
        duplicates: share(0.02),
        late: share(0.05),
        late_by: Duration::from_mins(20),
        poison: share(0.0),
    });
    simulation.take(4_000).map(|sent| sent.event).collect()
}

async fn set(cornjacket: &Cornjacket, name: &str, version: u32, mode: ModelMode) -> anyhow::Result<()> {
    let request = SetModelModeRequest { name: name.into(), version, mode: mode.into() };
    cornjacket.admin().await?.set_model_mode(request).await?;
    Ok(())
}

/// What a person says of what the limits found lately.
async fn say(cornjacket: &Cornjacket) -> anyhow::Result<()> {
    let model = "limits".to_owned();
    let request = ListAnomaliesRequest { model, page_size: 30, ..ListAnomaliesRequest::default() };
    let found = wait::until_some(DEADLINE, "anomalies", async || {
        anomalies(cornjacket, request.clone()).await.ok().filter(|found| !found.is_empty())
    });
    let mut admin = cornjacket.admin().await?;
    for anomaly in found.await.context("something is found")? {
        admin.report_feedback(false_alarm(&anomaly.id)).await?;
    }
    Ok(())
}

/// What an operator does while events flow.
async fn operate(cornjacket: &Cornjacket, part: usize) -> anyhow::Result<()> {
    if part > 0 {
        say(cornjacket).await?;
    }
    match part {
        0 => {
            let limits = r#"{"upper": 24}"#;
            register(cornjacket, ("limits", "threshold", limits, ModelMode::Active)).await?;
            let jumps = r#"{"per_seconds": 60, "rise": 2}"#;
            register(cornjacket, ("jumps", "rate_of_change", jumps, ModelMode::Shadow)).await?;
        }
        1 => {
            set(cornjacket, "limits", 1, ModelMode::Active).await?;
            set(cornjacket, "jumps", 1, ModelMode::Off).await?;
        }
        2 => {
            set(cornjacket, "jumps", 1, ModelMode::Active).await?;
            set(cornjacket, "forest", 1, ModelMode::Shadow).await?;
        }
        _ => {
            set(cornjacket, "forest", 1, ModelMode::Active).await?;
            set(cornjacket, "limits", 2, ModelMode::Active).await?;
        }
    }
    Ok(())
}

/// Models come, go and come back, and hear people's words, while events flow, and the process is killed twice.
pub async fn run(cornjacket: &Cornjacket) -> anyhow::Result<Process> {
    let mut random = Random::seeded();
    let mut process = cornjacket.start().await?;
    for model in MODELS {
        register(cornjacket, model).await?;
    }
    let (events, every) = (events(), Duration::from_millis(100));
    for (part, events) in events.chunks(events.len() / 4).enumerate() {
        let feeding = tokio::spawn(send_all(cornjacket.clone(), events.to_vec(), every));
        // The instant is the point here, not that anything has happened by then.
        tokio::time::sleep(Duration::from_millis(random.within(100..500))).await;
        operate(cornjacket, part).await?;
        if part % 2 == 1 {
            process.kill9().await?;
            process = cornjacket.start().await?;
        }
        feeding.await??;
    }
    settled(cornjacket).await?;
    Ok(process)
}
