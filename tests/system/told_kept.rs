//! A month later: what was told and is over is no longer kept, and what waits or lasts is, with why.

use std::time::Duration;

use anyhow::Context;
use cornjacket_domain::{Clock, SystemClock};
use cornjacket_proto::actions::delivery::State;
use cornjacket_proto::actions::silence::Matcher;
use cornjacket_proto::actions::silence::matcher::Field;
use cornjacket_proto::actions::{CreateSilenceRequest, Endpoint, ListSilencesRequest, Rule, Silence, alarm};
use cornjacket_testkit::wait;

use super::alarmed::{alarms, hot};
use super::cornjacket::{Cornjacket, stop};
use super::events::reading;
use super::full_stack::FullStack;
use super::receiver::Receiver;
use super::takeover::metric;
use super::told::{SETTINGS, SOON, deliveries, explained, make_endpoint, make_rule, rule, webhook};

/// Longer than things are kept, where nothing is said.
const DAYS: u32 = 31;

/// Over before anybody looks.
async fn make_silence(cornjacket: &Cornjacket) -> anyhow::Result<()> {
    let matcher = Matcher { field: Field::Subject.into(), pattern: "pump-9".into(), negated: false };
    let silence = Silence {
        name: "cleaning".into(),
        matchers: vec![matcher],
        end_time: Some((SystemClock.now() + Duration::from_secs(5)).to_proto()),
        comment: "the pumps are being cleaned".into(),
        ..Silence::default()
    };
    let request = CreateSilenceRequest { silence: Some(silence) };
    cornjacket.actions().await?.create_silence(request).await?;
    Ok(())
}

async fn silences(cornjacket: &Cornjacket) -> anyhow::Result<usize> {
    let request = ListSilencesRequest::default();
    Ok(cornjacket.actions().await?.list_silences(request).await?.into_inner().silences.len())
}

/// Two alarms, of which one is over, are told to somebody who hears of them, and readings to somebody who does not.
async fn happen(cornjacket: &Cornjacket, receiver: &Receiver) -> anyhow::Result<()> {
    make_endpoint(cornjacket, webhook("pager", &receiver.url())).await?;
    make_endpoint(cornjacket, Endpoint { disabled: true, ..webhook("away", &receiver.url()) }).await?;
    make_rule(cornjacket, hot("")).await?;
    make_rule(cornjacket, Rule { subjects: vec!["pump-5".into()], ..rule("all", "sensor.reading", "away") })
        .await?;
    make_silence(cornjacket).await?;
    for (subject, id, value) in [
        ("pump-7", "hot", 99.0),
        ("pump-7", "over", 20.0),
        ("pump-8", "lasts", 99.0),
        ("pump-5", "cool", 20.0),
    ] {
        cornjacket.append(reading(subject, id, value)).await?;
    }
    let mut seen = Vec::new();
    let all = wait::until(SOON, "all is told but what waits", async || {
        seen = deliveries(cornjacket).await.unwrap_or_default();
        seen.len() == 4 && seen.iter().filter(|one| one.state() == State::Delivered).count() == 3
    });
    all.await.with_context(|| format!("{seen:#?}"))
}

async fn a_month_later(cornjacket: Cornjacket) -> anyhow::Result<()> {
    let receiver = Receiver::good().await?;
    let process = cornjacket.start().await?;
    happen(&cornjacket, &receiver).await?;
    assert_eq!((silences(&cornjacket).await?, alarms(&cornjacket).await?.len()), (1, 2));
    stop(process).await?;

    let later = cornjacket.days_ahead(DAYS).await?;
    let process = later.start().await?;
    let looked = wait::until(SOON, "what is old is looked at", async || {
        metric(later.ops, "cornjacket_retention_passes_total").await >= 1.0
    });
    looked.await.with_context(|| process.log())?;
    let dropped = async |kind: &str| {
        metric(later.ops, &format!("cornjacket_actions_dropped_total{{kind=\"{kind}\"}}")).await
    };
    assert_eq!(
        (dropped("delivery").await, dropped("alarm").await, dropped("silence").await),
        (3.0, 1.0, 1.0)
    );
    let left = deliveries(&later).await?;
    assert_eq!(left.iter().map(|one| one.endpoint.as_str()).collect::<Vec<_>>(), ["away"], "it waits");
    let lasting = alarms(&later).await?;
    let lasting: Vec<_> = lasting.iter().map(|one| (one.key.as_str(), one.state())).collect();
    assert_eq!(lasting, [("hot/pump-8", alarm::State::Open)]);
    assert_eq!(silences(&later).await?, 0);
    let said = async |id: &str| explained(&later, "system-test", id).await;
    let waits = "all told it: it waits for its turn at away: nothing is sent there while it is disabled";
    assert!(said("cool").await?.contains(&waits.to_owned()));
    let lasts = said("lasts").await?;
    assert!(lasts.contains(&"hot told it; what came of that is no longer kept".to_owned()), "{lasts:?}");
    let gone = said("over").await.map_or_else(|error| error.to_string(), |said| said.join("; "));
    assert!(!gone.contains("hot told it"), "{gone}");

    // It goes on from there.
    later.append(reading("pump-8", "over at last", 20.0)).await?;
    wait::until(SOON, "it is told to be over", async || receiver.asked().len() > 3).await?;
    assert_eq!(receiver.asked()[3].event["cornjacketalarmchange"], "cleared");
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_later_embedded() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite://{}", folder.path().join("cornjacket.db").display());
    a_month_later(Cornjacket::new(&[&[("store.url", url.as_str())], &SETTINGS[..]].concat())?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_later_on_postgres_and_kafka() -> anyhow::Result<()> {
    a_month_later(FullStack::shared().await?.cornjacket(&SETTINGS)?).await
}
