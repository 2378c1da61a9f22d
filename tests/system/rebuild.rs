//! A projection is made anew while it answers and while events arrive.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cornjacket_proto::ingest::AppendBatchRequest;
use cornjacket_proto::query::GetProjectionRequest;
use cornjacket_testkit::{Program, wait};

use super::cornjacket::{Cornjacket, operator, stop};
use super::events::reading;
use super::full_stack::{FullStack, read_log};
use super::load::{self, Acknowledged, long};

const DEADLINE: Duration = Duration::from_mins(10);
const DEVICES: usize = 500;
const BATCH: usize = 5_000;

async fn fill(cornjacket: &Cornjacket, events: usize) -> anyhow::Result<()> {
    let mut ingest = cornjacket.ingest().await?;
    for first in (0..events).step_by(BATCH) {
        let event = |number: usize| {
            #[allow(clippy::cast_precision_loss, reason = "small numbers")]
            let value = number as f64;
            reading(&format!("device-{}", number % DEVICES), &format!("fill-{number}"), value)
        };
        let events = (first..first + BATCH).map(event).collect();
        ingest.append_batch(AppendBatchRequest { events }).await?;
    }
    Ok(())
}

/// Asks for states again and again: each call must succeed, and no state may go back in time.
async fn ask(cornjacket: Cornjacket, done: Arc<AtomicBool>, asked: Arc<AtomicU64>) -> anyhow::Result<()> {
    let mut query = cornjacket.query().await?;
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for number in 0.. {
        if done.load(Ordering::SeqCst) {
            break;
        }
        // Those of the load, which change, and those that were there before.
        let subject = if number % 2 == 0 {
            format!("pump-{}", number / 2 % 13)
        } else {
            format!("device-{}", number % DEVICES)
        };
        let request = GetProjectionRequest {
            projection: "device_state".into(),
            subject: subject.clone(),
            consistency_token: String::new(),
        };
        let state = query.get_projection(request).await?.into_inner();
        let before = last.insert(subject.clone(), state.last_position).unwrap_or_default();
        anyhow::ensure!(state.last_position >= before, "{subject} went back from {before}");
        asked.fetch_add(1, Ordering::SeqCst);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_is_rebuilt_while_it_answers_and_events_arrive() -> anyhow::Result<()> {
    let full_stack = FullStack::shared().await?;
    let cornjacket = full_stack.cornjacket(&[])?;
    let process = cornjacket.start().await?;
    fill(&cornjacket, if long() { 1_000_000 } else { 50_000 }).await?;
    full_stack.check_device_state(&read_log(&full_stack.database).await?).await?;
    let acknowledged = Acknowledged::default();
    let load = load::start(&cornjacket, "load", &acknowledged);
    wait::until(DEADLINE, "the load is under way", async || acknowledged.count() > 500).await?;

    // What is live is spoilt, so that only what is really made anew is right again.
    let spoil = "update timeseries.projection_states set state = jsonb_set(state, '{metrics}', '{}')
        where projection = 'device_state' and subject like 'device-%'";
    Program::new("psql").args(["-q", "-c", spoil, &full_stack.database]).output(DEADLINE).await?;

    let (done, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let asking = tokio::spawn(ask(cornjacket.clone(), done.clone(), asked.clone()));
    let server = format!("127.0.0.1:{}", cornjacket.query);
    let rebuild = operator()?.args(["projections", "--server", &server, "rebuild", "device_state"]);
    let said = rebuild.output(DEADLINE).await?;
    println!("{}{} questions meanwhile, {} events", said, asked.load(Ordering::SeqCst), acknowledged.count());
    assert!(said.contains("build 2 answers questions"), "{said}");
    assert!(!asking.is_finished(), "{:?}", asking.await?);
    let (at_the_switch, events) = (asked.load(Ordering::SeqCst), acknowledged.count());
    wait::until(DEADLINE, "both go on", async || {
        asked.load(Ordering::SeqCst) > at_the_switch + 100 && acknowledged.count() > events + 100
    })
    .await?;
    done.store(true, Ordering::SeqCst);
    asking.await??;
    drop(load);

    let log = read_log(&full_stack.database).await?;
    full_stack.check_device_state(&log).await?;
    acknowledged.check(&log)?;
    let again = rebuild.output(DEADLINE).await?;
    assert!(again.contains("build 3"), "{again}");
    full_stack.check_device_state(&log).await?;
    let unknown = operator()?.args(["projections", "--server", &server, "rebuild", "nothing"]);
    let refused = unknown.output(DEADLINE).await.expect_err("there is none").to_string();
    assert!(refused.contains("there is no projection"), "{refused}");
    stop(process).await
}
