//! Groups: what falls into one is told together and once, also when everything dies between the decisions and the telling.

use std::time::Duration;

use cornjacket_proto::actions::delivery::State;
use cornjacket_proto::actions::{AcknowledgeAlarmRequest, AlarmRule, ClearAlarmRequest, Grouping, Rule};
use cornjacket_proto::ingest::AppendBatchRequest;
use cornjacket_testkit::wait;

use super::cornjacket::{Cornjacket, stop};
use super::events::reading;
use super::full_stack::FullStack;
use super::receiver::Receiver;
use super::told::{SETTINGS, SOON, explained, make_endpoint, make_rule, rule, until_all_are, webhook};

const PUMPS: usize = 5;

fn duration(span: Duration) -> Option<prost_types::Duration> {
    prost_types::Duration::try_from(span).ok()
}

fn grouped(name: &str, wait: Duration, interval: Duration) -> Rule {
    let grouping = Grouping { wait: duration(wait), interval: duration(interval), ..Grouping::default() };
    Rule {
        condition: "event.sensor_reading.measurements.exists(m, m.value > 80.0)".into(),
        grouping: Some(grouping),
        ..rule(name, "sensor.reading", "pager")
    }
}

fn id(pump: usize) -> String {
    format!("hot-{pump}")
}

async fn heat(cornjacket: &Cornjacket) -> anyhow::Result<()> {
    let events = (0..PUMPS).map(|pump| reading(&format!("pump-{pump}"), &id(pump), 99.0)).collect();
    cornjacket.ingest().await?.append_batch(AppendBatchRequest { events }).await?;
    Ok(())
}

async fn a_group(cornjacket: Cornjacket) -> anyhow::Result<()> {
    let mut process = cornjacket.start().await?;
    let receiver = Receiver::good().await?;
    make_endpoint(&cornjacket, webhook("pager", &receiver.url())).await?;
    make_rule(&cornjacket, grouped("hot", Duration::from_secs(8), Duration::from_secs(1))).await?;
    heat(&cornjacket).await?;
    for pump in 0..PUMPS {
        let waits = async || {
            let said = explained(&cornjacket, "system-test", &id(pump)).await.unwrap_or_default();
            said.iter().any(|one| one.starts_with("hot tells it: told with others of its group \"\", at 20"))
        };
        wait::until(SOON, "it is decided", waits).await?;
    }
    assert!(receiver.asked().is_empty(), "it waits");
    process.kill9().await?;
    let process = cornjacket.start().await?;

    let told = until_all_are(&cornjacket, 1, State::Delivered).await?;
    let asked = receiver.asked();
    let [one] = asked.as_slice() else { anyhow::bail!("{asked:?}") };
    assert_eq!(one.event["type"], "notification.group", "{}", one.event);
    assert_eq!(one.event["source"], "cornjacket/actions");
    assert_eq!(one.event["data"]["rule"], "hot");
    assert_eq!(one.event["data"]["count"], 5.0, "PUMPS, as protobuf has numbers in JSON");
    let named = one.event["data"]["events"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut ids: Vec<&str> = named.iter().filter_map(|one| one["id"].as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..PUMPS).map(id).collect::<Vec<_>>());
    for pump in 0..PUMPS {
        let said = explained(&cornjacket, "system-test", &id(pump)).await?;
        assert_eq!(said, ["hot told it with others of its group: it arrived at pager with attempt 1"]);
    }
    assert_eq!(told[0].decision, one.event["id"], "a receiver knows it by one id");
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_embedded() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite://{}", folder.path().join("cornjacket.db").display());
    a_group(Cornjacket::new(&[&[("store.url", url.as_str())], &SETTINGS[..]].concat())?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_on_postgres_and_kafka() -> anyhow::Result<()> {
    a_group(FullStack::shared().await?.cornjacket(&SETTINGS)?).await
}

/// A group of alarms is an alarm of its own, whoever takes them on and ends them.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_alarms() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite://{}", folder.path().join("cornjacket.db").display());
    let cornjacket = Cornjacket::new(&[&[("store.url", url.as_str())], &SETTINGS[..]].concat())?;
    let process = cornjacket.start().await?;
    let receiver = Receiver::good().await?;
    make_endpoint(&cornjacket, webhook("pager", &receiver.url())).await?;
    let alarm = Some(AlarmRule::default());
    make_rule(&cornjacket, Rule { alarm, ..grouped("lasting", Duration::ZERO, Duration::ZERO) }).await?;
    heat(&cornjacket).await?;
    until_all_are(&cornjacket, 1, State::Delivered).await?;
    let mut actions = cornjacket.actions().await?;
    for pump in 0..PUMPS {
        let key = format!("lasting/pump-{pump}");
        actions.acknowledge_alarm(AcknowledgeAlarmRequest { key }).await?;
    }
    let change = |index: usize| {
        let asked = receiver.asked();
        let said = asked.get(index).map(|one| one.event["cornjacketalarmchange"].clone());
        said.and_then(|change| change.as_str().map(str::to_owned)).unwrap_or_default()
    };
    let last = || change(receiver.asked().len() - 1);
    wait::until(SOON, "all are taken on", async || last() == "acknowledged").await?;
    for pump in 0..PUMPS {
        actions.clear_alarm(ClearAlarmRequest { key: format!("lasting/pump-{pump}") }).await?;
    }
    wait::until(SOON, "all are over", async || last() == "cleared").await?;
    assert_eq!(change(0), "raised");
    assert!(receiver.asked().iter().all(|one| one.event["cornjacketalarm"] == "group/lasting"));
    stop(process).await
}
