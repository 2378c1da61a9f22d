//! Processes that put events on the bus in different formats, side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cornjacket_bus::{Format, Record, TopicPartition};
use cornjacket_proto::admin::ListDeadLettersRequest;
use cornjacket_testkit::wait;

use super::cornjacket::{Cornjacket, stop};
use super::full_stack::{FullStack, read_log};
use super::load::{self, Acknowledged};
use super::takeover::metric;

const DEADLINE: Duration = Duration::from_mins(1);
/// Events that a relay publishes before the next one takes over, at least.
const TURN: u32 = 500;
const SWITCHES: usize = 4;

/// The relay of `cornjacket` has taken over, and gets on.
async fn publishes(cornjacket: &Cornjacket) -> anyhow::Result<()> {
    let published = async || metric(cornjacket.ops, "cornjacket_relay_position").await;
    wait::until(DEADLINE, "its relay works", async || published().await > 0.0).await?;
    let enough = published().await + f64::from(TURN);
    wait::until(DEADLINE, "its relay gets on", async || published().await > enough).await
}

/// How many records there are of each format, and how often it changes within a partition, at least.
fn count(records: &[Record]) -> (BTreeMap<&'static str, usize>, usize) {
    let mut formats = BTreeMap::new();
    let mut partitions: BTreeMap<TopicPartition, Vec<Format>> = BTreeMap::new();
    for record in records {
        *formats.entry(record.envelope.format.content_type()).or_default() += 1;
        partitions.entry(record.at).or_default().push(record.envelope.format);
    }
    let changes = |formats: &Vec<Format>| formats.windows(2).filter(|two| two[0] != two[1]).count();
    (formats, partitions.values().map(changes).min().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_format_is_switched_back_and_forth_under_load() -> anyhow::Result<()> {
    let full_stack = FullStack::shared().await?;
    let rest = full_stack.cornjacket(&[])?.roles("ingest,query");
    let process = rest.start().await?;
    let acknowledged = Acknowledged::default();
    let mut writers = load::start(&rest, "formats", &acknowledged);
    let with_format = |format| {
        let cornjacket = full_stack.cornjacket(&[("bus.format", format)])?;
        anyhow::Ok(cornjacket.roles("relay,projector,inference"))
    };
    let formats = [with_format("json")?, with_format("protobuf")?];
    let mut working = formats[0].start().await?;
    publishes(&formats[0]).await?;
    for switch in 1..=SWITCHES {
        // The new one is there beside the old one, reads what that one publishes, and waits for its lease.
        let next = &formats[switch % 2];
        let started = next.start().await?;
        if switch % 2 == 0 {
            working.kill9().await?;
        } else {
            stop(working).await?;
        }
        publishes(next).await?;
        working = started;
    }
    writers.abort_all();
    while writers.join_next().await.is_some() {}

    let log = read_log(&full_stack.database).await?;
    acknowledged.check(&log)?;
    full_stack.check().await?;
    let mut seen = BTreeSet::new();
    let records = full_stack.read_records(|record| {
        seen.extend(record.envelope.position);
        seen.len() >= log.len()
    });
    let (formats, changes) = count(&records.await?);
    println!("{formats:?}; in every partition the format changes {changes} times or more");
    assert!(formats.len() == 2 && formats.values().all(|count| *count > TURN as usize), "{formats:?}");
    assert!(changes >= SWITCHES, "{changes} changes");
    let letters = rest.admin().await?.list_dead_letters(ListDeadLettersRequest::default()).await?;
    assert_eq!(letters.into_inner().dead_letters, []);
    stop(working).await?;
    stop(process).await
}
