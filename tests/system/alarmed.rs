//! Alarms: raised once, whoever raises them, and told until they are over.

use std::time::Duration;

use anyhow::Context;
use cornjacket_proto::actions::alarm::State;
use cornjacket_proto::actions::{
    AcknowledgeAlarmRequest, Alarm, AlarmRule, ClearAlarmRequest, Endpoint, ListAlarmsRequest, PagerDuty,
    Rule, delivery, endpoint,
};
use cornjacket_testkit::wait;
use futures::future::try_join_all;
use tonic::Code;

use super::cornjacket::{Cornjacket, stop};
use super::events::reading;
use super::full_stack::FullStack;
use super::receiver::{Answer, Receiver};
use super::told::{SETTINGS, SOON, explained, make_endpoint, make_rule, rule, until_all_are, webhook};

const SUBJECTS: u32 = 64;
const ROUTING_KEY: &str = "0123456789abcdef0123456789abcdef";

/// A rule whose alarm lasts while a device is too hot.
pub(super) fn hot(key: &str) -> Rule {
    let alarm = AlarmRule {
        key: key.into(),
        clear_condition: "event.sensor_reading.measurements.all(m, m.value < 70.0)".into(),
    };
    Rule {
        condition: "event.sensor_reading.measurements.exists(m, m.value > 80.0)".into(),
        alarm: Some(alarm),
        ..rule("hot", "sensor.reading", "pager")
    }
}

pub(super) async fn alarms(cornjacket: &Cornjacket) -> anyhow::Result<Vec<Alarm>> {
    let request = ListAlarmsRequest::default();
    Ok(cornjacket.actions().await?.list_alarms(request).await?.into_inner().alarms)
}

/// What the receiver was told of alarms, in order.
fn changes(receiver: &Receiver) -> Vec<String> {
    let change =
        |event: &serde_json::Value| event["cornjacketalarmchange"].as_str().unwrap_or_default().to_owned();
    receiver.asked().iter().map(|asked| change(&asked.event)).collect()
}

async fn the_life_of_an_alarm(cornjacket: Cornjacket) -> anyhow::Result<()> {
    let process = cornjacket.start().await?;
    let receiver = Receiver::good().await?;
    make_endpoint(&cornjacket, webhook("pager", &receiver.url())).await?;
    make_rule(&cornjacket, hot("")).await?;
    let told = async |count: usize| until_all_are(&cornjacket, count, delivery::State::Delivered).await;

    // Nothing is over that never was.
    cornjacket.append(reading("pump-7", "cool", 20.0)).await?;
    cornjacket.append(reading("pump-7", "hot", 99.0)).await?;
    cornjacket.append(reading("pump-7", "still hot", 98.0)).await?;
    cornjacket.append(reading("pump-7", "neither", 75.0)).await?;
    told(1).await?;
    let mut actions = cornjacket.actions().await?;
    let request = AcknowledgeAlarmRequest { key: "hot/pump-7".into() };
    for _ in 0..2 {
        let alarm = actions.acknowledge_alarm(request.clone()).await?.into_inner().alarm.unwrap_or_default();
        assert_eq!((alarm.state(), alarm.acknowledged_by.as_str()), (State::Acknowledged, "tests"));
    }
    told(2).await?;
    cornjacket.append(reading("pump-7", "over", 60.0)).await?;
    told(3).await?;
    let [alarm] = alarms(&cornjacket).await?.try_into().ok().context("one")?;
    assert_eq!((alarm.state(), alarm.raised_count, alarm.event_count), (State::Cleared, 1, 2));
    let late = actions.acknowledge_alarm(request.clone()).await.expect_err("it is over");
    assert_eq!(late.code(), Code::FailedPrecondition);
    cornjacket.append(reading("pump-7", "again", 97.0)).await?;
    told(4).await?;
    let request = ClearAlarmRequest { key: "hot/pump-7".into() };
    for _ in 0..2 {
        let alarm = actions.clear_alarm(request.clone()).await?.into_inner().alarm.unwrap_or_default();
        assert_eq!((alarm.state(), alarm.raised_count), (State::Cleared, 2));
    }
    told(5).await?;
    assert_eq!(changes(&receiver), ["raised", "acknowledged", "cleared", "raised", "cleared"]);
    assert!(receiver.asked().iter().all(|asked| asked.event["cornjacketalarm"] == "hot/pump-7"));
    let says = async |id: &str| explained(&cornjacket, "system-test", id).await;
    let (still, neither) = (says("still hot").await?, says("neither").await?);
    assert!(still[0].contains("lasts") && still[0].starts_with("hot did not tell it again"), "{still:?}");
    assert!(neither[0].starts_with("hot decided nothing"), "{neither:?}");
    let nobody = ClearAlarmRequest { key: "nobody".into() };
    assert_eq!(actions.clear_alarm(nobody).await.expect_err("none").code(), Code::NotFound);
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_embedded() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite://{}", folder.path().join("cornjacket.db").display());
    the_life_of_an_alarm(Cornjacket::new(&[&[("store.url", url.as_str())], &SETTINGS[..]].concat())?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_on_postgres_and_kafka() -> anyhow::Result<()> {
    the_life_of_an_alarm(FullStack::shared().await?.cornjacket(&SETTINGS)?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_64_subjects_that_raise_one_alarm_at_once_over_three_replicas_one_is_told() -> anyhow::Result<()> {
    let full_stack = FullStack::shared().await?;
    let replicas = [
        full_stack.cornjacket(&SETTINGS)?,
        full_stack.cornjacket(&SETTINGS)?.roles("actions"),
        full_stack.cornjacket(&SETTINGS)?.roles("actions"),
    ];
    let processes = try_join_all(replicas.iter().map(Cornjacket::start)).await?;
    let [cornjacket, ..] = &replicas;
    let receiver = Receiver::good().await?;
    make_endpoint(cornjacket, webhook("pager", &receiver.url())).await?;
    let incidents = Receiver::start(|_| Answer::Status(202)).await?;
    let service = PagerDuty { routing_key: ROUTING_KEY.into(), url: incidents.url() };
    let service = Some(endpoint::Channel::Pagerduty(service));
    make_endpoint(cornjacket, Endpoint { name: "on-call".into(), channel: service, ..Endpoint::default() })
        .await?;
    let rule = hot("the cooling of hall 4");
    make_rule(cornjacket, Rule { endpoints: vec!["pager".into(), "on-call".into()], ..rule }).await?;
    let append =
        |subject: u32| cornjacket.append(reading(&format!("pump-{subject}"), &subject.to_string(), 99.0));
    try_join_all((0..SUBJECTS).map(append)).await?;
    let lasts = async |alarm: &[Alarm]| {
        let [alarm] = alarm else { return false };
        (alarm.state(), alarm.raised_count) == (State::Open, 1)
    };
    for subject in 0..SUBJECTS {
        let is_decided = async || {
            let said = explained(cornjacket, "system-test", &subject.to_string()).await.unwrap_or_default();
            said.iter().any(|one| !one.contains("decided nothing"))
        };
        wait::until(SOON, "everything is decided", is_decided).await?;
    }
    let all = alarms(cornjacket).await?;
    assert!(lasts(&all).await, "{all:?}");
    until_all_are(cornjacket, 2, delivery::State::Delivered).await?;
    assert_eq!(changes(&receiver), ["raised"], "one page");
    let asked = incidents.asked();
    let [incident] = asked.as_slice() else { anyhow::bail!("one incident: {asked:?}") };
    assert_eq!(incident.event["event_action"], "trigger");
    assert_eq!(incident.event["dedup_key"], "the cooling of hall 4");
    for process in processes {
        stop(process).await?;
    }
    Ok(())
}

/// What is told of an alarm comes in order, also where what raised it is not taken at first.
#[tokio::test(flavor = "multi_thread")]
async fn what_ends_an_alarm_does_not_overtake_what_raised_it() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite://{}", folder.path().join("cornjacket.db").display());
    let cornjacket = Cornjacket::new(&[&[("store.url", url.as_str())], &SETTINGS[..]].concat())?;
    let process = cornjacket.start().await?;
    let receiver =
        super::receiver::Receiver::start(|number| Answer::Status(if number < 2 { 503 } else { 200 })).await?;
    make_endpoint(&cornjacket, webhook("pager", &receiver.url())).await?;
    make_rule(&cornjacket, hot("")).await?;
    for (id, value) in [("hot", 99.0), ("over", 20.0), ("again", 99.0)] {
        cornjacket.append(reading("pump-7", id, value)).await?;
    }
    until_all_are(&cornjacket, 3, delivery::State::Delivered).await?;
    assert_eq!(changes(&receiver), ["raised", "raised", "raised", "cleared", "raised"]);
    assert!(receiver.asked()[2].at - receiver.asked()[1].at > Duration::from_secs(1), "it had to wait");
    stop(process).await
}
