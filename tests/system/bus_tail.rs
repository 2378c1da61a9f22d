//! `cornjacket bus tail`: both formats and garbage, as they lie on a real topic.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cornjacket_proto::ingest::AppendBatchRequest;
use cornjacket_testkit::{Program, wait};
use serde_json::Value;

use super::cornjacket::{Cornjacket, stop};
use super::events::reading;
use super::full_stack::{FullStack, read_log};

const DEADLINE: Duration = Duration::from_mins(1);

/// Publishes readings of three devices in one format.
async fn publish(full_stack: &FullStack, format: &str) -> anyhow::Result<Cornjacket> {
    let cornjacket = full_stack.cornjacket(&[("bus.format", format)])?;
    let process = cornjacket.start().await?;
    let events = (0..6).map(|number| {
        reading(&format!("pump-{}", number % 3), &format!("{format}-{number}"), f64::from(number))
    });
    let request = AppendBatchRequest { events: events.collect() };
    cornjacket.ingest().await?.append_batch(request).await?;
    wait::until(DEADLINE, "all are on the topic", async || {
        let (log, shown) = (read_log(&full_stack.database).await, tail(&cornjacket, &[]).await);
        let different = |shown: Vec<Value>| {
            let positions = shown.iter().filter_map(|record| record["event"]["position"].as_str());
            positions.collect::<BTreeSet<_>>().len()
        };
        log.is_ok_and(|log| shown.is_ok_and(|shown| different(shown) == log.len()))
    })
    .await?;
    stop(process).await?;
    Ok(cornjacket)
}

async fn tail(cornjacket: &Cornjacket, flags: &[&str]) -> anyhow::Result<Vec<Value>> {
    let arguments = [&["--set", "log.level=off", "bus", "tail", "sensor-events"], flags].concat();
    let printed = cornjacket.verb(&arguments).output(DEADLINE).await?;
    Ok(printed.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_of_a_topic_is_shown_whatever_it_is() -> anyhow::Result<()> {
    let full_stack = FullStack::shared().await?;
    publish(&full_stack, "protobuf").await?;
    let cornjacket = publish(&full_stack, "json").await?;
    let folder = tempfile::tempdir()?;
    let garbage = folder.path().join("garbage");
    std::fs::write(&garbage, b"\xffno event")?;
    let kcat = Program::new("kcat").args(["-P", "-b", &full_stack.servers, "-k", "pump-0", "-p", "0"]);
    let kcat = kcat.args(["-H", "who=kcat", "-t", &full_stack.topic("sensor-events")]).arg(&garbage);
    kcat.output(DEADLINE).await?;

    let records = tail(&cornjacket, &[]).await?;
    let (bad, good): (Vec<_>, Vec<_>) = records.iter().partition(|record| record.get("error").is_some());
    let [bad] = bad[..] else { panic!("one record is garbage: {bad:?}") };
    assert_eq!((&bad["key"], &bad["headers"]["who"]), (&"pump-0".into(), &"kcat".into()));
    assert_eq!(bad["value"], "/25vIGV2ZW50");

    let mut shown = BTreeMap::new();
    for record in &good {
        let event = &record["event"];
        assert_eq!(record["headers"]["ce_id"], event["id"]);
        assert_eq!((&record["key"], &record["topic"]), (&event["subject"], &"sensor-events".into()));
        assert_eq!(record["headers"]["cornjacket-position"], event["position"]);
        let format = record["format"].as_str().unwrap_or_default().trim_start_matches("application/");
        let id = event["id"].as_str().unwrap_or_default();
        let value = event["sensorReading"]["measurements"][0]["value"].clone();
        // Only a repeat may be in the format of the later process.
        assert!(shown.insert(id.to_owned(), value).is_some() || id.starts_with(format), "{record}");
    }
    assert_eq!(shown.len(), 12, "{shown:?}");
    assert_eq!(shown["json-4"], 4.0);

    assert_eq!(tail(&cornjacket, &["--limit", "2"]).await?.len(), 2);
    assert_eq!(tail(&cornjacket, &["--from", "end"]).await?.len(), 0);
    let later = tail(&cornjacket, &["--from", "1"]).await?;
    assert!(later.len() < records.len() && later.iter().all(|record| record["offset"] != 0), "{later:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn following_shows_what_comes_and_without_kafka_there_is_no_topic() -> anyhow::Result<()> {
    let full_stack = FullStack::shared().await?;
    let cornjacket = publish(&full_stack, "protobuf").await?;
    let follow = ["--follow", "--limit", "12"];
    // Half of them come while it waits at the end, or before it began: it shows twelve either way.
    let (followed, published) = tokio::join!(tail(&cornjacket, &follow), publish(&full_stack, "json"));
    published?;
    assert_eq!(followed?.len(), 12);

    let folder = tempfile::tempdir()?;
    let embedded = Cornjacket::embedded(folder.path())?;
    let refused = tail(&embedded, &[]).await.expect_err("there is no topic").to_string();
    assert!(refused.contains("bus.url") && refused.contains("cornjacket events tail"), "{refused}");
    Ok(())
}
