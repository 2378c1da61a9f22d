//! Silences: what falls into one is not told, the ledger says which it was, and what lasts is told after it.

use std::time::Duration;

use cornjacket_domain::{Clock, SystemClock};
use cornjacket_proto::actions::silence::Matcher;
use cornjacket_proto::actions::silence::matcher::Field;
use cornjacket_proto::actions::{
    AlarmRule, CreateSilenceRequest, EndSilenceRequest, ListSilencesRequest, Rule, Silence, delivery,
};
use cornjacket_testkit::wait;
use tonic::Code;

use super::cornjacket::{Cornjacket, stop};
use super::events::reading;
use super::full_stack::FullStack;
use super::receiver::Receiver;
use super::told::{SETTINGS, SOON, explained, make_endpoint, make_rule, rule, until_all_are, webhook};

fn silence(name: &str, subject: &str) -> Silence {
    let matcher = Matcher { field: Field::Subject.into(), pattern: subject.into(), negated: false };
    Silence {
        name: name.into(),
        matchers: vec![matcher],
        end_time: Some((SystemClock.now() + Duration::from_hours(1)).to_proto()),
        comment: "the pumps are being cleaned".into(),
        ..Silence::default()
    }
}

async fn a_silence(cornjacket: Cornjacket) -> anyhow::Result<()> {
    let process = cornjacket.start().await?;
    let receiver = Receiver::good().await?;
    make_endpoint(&cornjacket, webhook("pager", &receiver.url())).await?;
    let condition = "event.sensor_reading.measurements.exists(m, m.value > 80.0)".to_owned();
    make_rule(&cornjacket, Rule { condition: condition.clone(), ..rule("hot", "sensor.reading", "pager") })
        .await?;
    let lasting =
        Rule { alarm: Some(AlarmRule::default()), condition, ..rule("lasting", "sensor.reading", "pager") };
    make_rule(&cornjacket, lasting).await?;
    let mut actions = cornjacket.actions().await?;
    let request = CreateSilenceRequest { silence: Some(silence("cleaning", "pump-*")) };
    let made = actions.create_silence(request.clone()).await?.into_inner().silence.unwrap_or_default();
    assert_eq!(made.author, "tests");
    assert_eq!(actions.create_silence(request).await.expect_err("there is one").code(), Code::AlreadyExists);

    cornjacket.append(reading("pump-7", "hushed", 99.0)).await?;
    cornjacket.append(reading("valve-7", "heard", 99.0)).await?;
    let told = until_all_are(&cornjacket, 2, delivery::State::Delivered).await?;
    assert!(told.iter().all(|one| one.event_id == "heard"), "{told:?}");
    let is_decided = async || {
        let said = explained(&cornjacket, "system-test", "hushed").await.unwrap_or_default();
        said.len() == 2 && !said.iter().any(|one| one.contains("decided nothing"))
    };
    wait::until(SOON, "it is decided", is_decided).await?;
    let said = explained(&cornjacket, "system-test", "hushed").await?;
    let reason = "did not tell it: silenced by cleaning until ";
    assert!(said.iter().all(|one| one.contains(reason) && one.ends_with("are being cleaned")), "{said:?}");

    let request = EndSilenceRequest { name: "cleaning".into() };
    let ended = actions.end_silence(request.clone()).await?.into_inner().silence.unwrap_or_default();
    let again = actions.end_silence(request).await?.into_inner().silence.unwrap_or_default();
    assert_eq!(again.end_time, ended.end_time, "it was over");
    // It lasts still: the alarm is told now, and so is what was not told before.
    cornjacket.append(reading("pump-7", "after", 98.0)).await?;
    let told = until_all_are(&cornjacket, 4, delivery::State::Delivered).await?;
    assert_eq!(told.iter().filter(|one| one.event_id == "after").count(), 2, "{told:?}");
    let listed = actions.list_silences(ListSilencesRequest::default()).await?.into_inner().silences;
    assert_eq!(listed, [again], "it stays to be found");
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_embedded() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite://{}", folder.path().join("cornjacket.db").display());
    a_silence(Cornjacket::new(&[&[("store.url", url.as_str())], &SETTINGS[..]].concat())?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_on_postgres_and_kafka() -> anyhow::Result<()> {
    a_silence(FullStack::shared().await?.cornjacket(&SETTINGS)?).await
}
