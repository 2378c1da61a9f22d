//! `cornjacket simulate` against a server that works, one that comes back, and one that does not.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use cornjacket_domain::Timestamp;
use cornjacket_proto::events::Event;
use cornjacket_proto::query::ListEventsRequest;
use cornjacket_simulator::{Options, Sent, Share, Simulation};
use cornjacket_testkit::{Process, Signal, wait};

use super::cornjacket::{Cornjacket, stop};
use super::full_stack::read_log;

const DEADLINE: Duration = Duration::from_mins(1);
const COUNT: usize = 3_000;
const FLAGS: [&str; 14] = [
    "simulate",
    "--seed",
    "7",
    "--start",
    "2026-01-01T00:00:00Z",
    "--devices",
    "30",
    "--users",
    "10",
    "--duplicates",
    "5%",
    "--late",
    "5%",
    "--count",
];

/// What those flags mean.
fn simulation() -> Simulation {
    let share = |share| Share::new(share).expect("a share");
    Simulation::new(Options {
        seed: 7,
        start: Timestamp::from_micros(1_767_225_600_000_000),
        devices: 30,
        users: 10,
        services: 5,
        faults: share(0.0005),
        duplicates: share(0.05),
        late: share(0.05),
        late_by: Duration::from_mins(10),
        poison: Share::NONE,
    })
}

/// The first `COUNT` events, each once, in order.
fn expected() -> Vec<Event> {
    let mut ids = BTreeSet::new();
    let sent = simulation().take(COUNT);
    sent.filter(|sent| ids.insert(sent.event.id.clone())).map(|Sent { event, .. }| event).collect()
}

/// Everything in the log, without what the log gave.
async fn logged(folder: &Path) -> anyhow::Result<Vec<Event>> {
    let mut events = Vec::new();
    for stored in read_log(&format!("sqlite://{}/cornjacket.db", folder.display())).await? {
        let event = stored.decode()?;
        events.push(Event { position: 0, ingest_time: None, clock_ahead: false, ..event });
    }
    Ok(events)
}

/// The number on a line of the summary.
fn number(summary: &str, name: &str) -> Option<usize> {
    let line = summary.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.replace(',', "").parse().ok()
}

/// Waits until the log has that position.
async fn until_stored(cornjacket: &Cornjacket, position: u64) -> anyhow::Result<()> {
    let mut query = cornjacket.query().await?;
    wait::until(DEADLINE, "events are stored", async || {
        let request =
            ListEventsRequest { from_position: position, page_size: 1, ..ListEventsRequest::default() };
        query.list_events(request).await.is_ok_and(|listed| !listed.into_inner().events.is_empty())
    })
    .await
}

fn start(cornjacket: &Cornjacket, folder: &Path, more: &[&str]) -> anyhow::Result<Process> {
    cornjacket.verb(&[&FLAGS[..], more].concat()).log(folder.join("simulate.log")).spawn()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_the_simulation_and_once_more_all_of_it_is_known() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cornjacket = Cornjacket::embedded(folder.path())?;
    let process = cornjacket.start().await?;
    let simulate = cornjacket.verb(&[&FLAGS[..], &["3000", "--rate", "0"]].concat());
    let (first, second) = (simulate.output(DEADLINE).await?, simulate.output(DEADLINE).await?);
    stop(process).await?;

    let expected = expected();
    for (summary, stored) in [(&first, expected.len()), (&second, 0)] {
        assert_eq!(number(summary, "sent"), Some(COUNT), "{summary}");
        assert_eq!(number(summary, "stored"), Some(stored), "{summary}");
        assert_eq!(number(summary, "duplicates"), Some(COUNT - stored), "{summary}");
        assert!(!summary.contains("refused") && !summary.contains('\u{1b}'), "{summary}");
    }
    assert_eq!(logged(folder.path()).await?, expected);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_gets_everything() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cornjacket = Cornjacket::embedded(folder.path())?;
    let mut process = cornjacket.start().await?;
    let mut simulate = start(&cornjacket, folder.path(), &["3000", "--rate", "0", "--batch", "20"])?;
    until_stored(&cornjacket, 100).await?;
    process.kill9().await?;
    wait::until(DEADLINE, "it says that it waits", async || simulate.log().contains("trying again")).await?;
    let process = cornjacket.start().await?;
    let status = simulate.wait(DEADLINE).await?;
    assert!(status.success(), "{}", simulate.log());
    stop(process).await?;
    assert_eq!(logged(folder.path()).await?, expected());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stays_away_is_an_error() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cornjacket = Cornjacket::embedded(folder.path())?;
    let mut process = cornjacket.start().await?;
    let patience = ["3000", "--rate", "0", "--batch", "20", "--patience", "1s"];
    let mut simulate = start(&cornjacket, folder.path(), &patience)?;
    until_stored(&cornjacket, 100).await?;
    process.kill9().await?;
    let status = simulate.wait(DEADLINE).await?;
    let log = simulate.log();
    assert!(!status.success() && log.contains("given up after 1s"), "{log}");
    assert!(number(&log, "stored").is_some_and(|stored| stored >= 80), "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_it_well_with_a_summary() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cornjacket = Cornjacket::embedded(folder.path())?;
    let process = cornjacket.start().await?;
    let mut simulate = start(&cornjacket, folder.path(), &["1000000", "--rate", "500"])?;
    until_stored(&cornjacket, 50).await?;
    let status = simulate.stop(Signal::INT, DEADLINE).await?;
    let log = simulate.log();
    assert!(status.success(), "{log}");
    stop(process).await?;
    assert_eq!(number(&log, "stored"), Some(logged(folder.path()).await?.len()), "{log}");
    Ok(())
}
