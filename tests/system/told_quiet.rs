//! What was told is not told again: not by a rebuild, a replay, a restart or a redelivery; nor is what was stored before a rule was
//! made. What we say of our own failures ends.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use cornjacket_domain::{Clock, SystemClock};
use cornjacket_proto::actions::attempt::Outcome;
use cornjacket_proto::actions::delivery::State;
use cornjacket_proto::actions::{Endpoint, GetDeliveryRequest, Rule};
use cornjacket_proto::ingest::AppendBatchRequest;
use cornjacket_proto::query::TailEventsRequest;
use cornjacket_proto::query::tail_events_response::Message as Told;
use cornjacket_store::{DecidedEvent, DefinitionKind, Outcome as Decided, Redefined, Redefinition};
use cornjacket_testkit::{Process, wait};
use prost::Message;
use tokio::time::timeout;

use super::cornjacket::{Cornjacket, operator, stop};
use super::events::reading;
use super::full_stack::{FullStack, open, read_log};
use super::receiver::{Answer, Receiver};
use super::told::{SETTINGS, SOON, deliveries, make_endpoint, make_rule, rule, until_all_are, webhook};

const DEADLINE: Duration = Duration::from_mins(1);
const DEVICES: usize = 8;
/// Readings of each wave.
const WAVE: usize = 40;

/// A rule that tells of every event.
fn every(name: &str, event_type: &str, endpoint: &str) -> Rule {
    let window = Some(prost_types::Duration::default());
    Rule { deduplication_window: window, ..rule(name, event_type, endpoint) }
}

/// Readings of all devices in turn.
async fn append(cornjacket: &Cornjacket, name: &str, count: usize) -> anyhow::Result<()> {
    let event =
        |number: usize| reading(&format!("pump-{}", number % DEVICES), &format!("{name}-{number}"), 1.0);
    let request = AppendBatchRequest { events: (0..count).map(event).collect() };
    cornjacket.ingest().await?.append_batch(request).await?;
    Ok(())
}

async fn operate(cornjacket: &Cornjacket, verb: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let server = format!("127.0.0.1:{}", cornjacket.query);
    operator()?.args([verb, "--server", &server]).args(arguments.iter().copied()).output(DEADLINE).await
}

/// Records that the consumer has passed: also those that mean nothing to it.
async fn passed(cornjacket: &Cornjacket) -> anyhow::Result<u64> {
    let consumers = cornjacket.consumers().await?;
    Ok(consumers.iter().filter(|one| one.consumer == "actions").map(|one| one.next_offset).sum())
}

/// Puts the whole log on the bus once more, and waits until it was passed.
async fn replay(cornjacket: &Cornjacket) -> anyhow::Result<()> {
    wait::until(SOON, "everything is read", async || cornjacket.is_all_read().await).await?;
    let before = passed(cornjacket).await?;
    let said = operate(cornjacket, "events", &["replay", "--from", "1"]).await?;
    let count: u64 = said.split(' ').next().context("a number")?.parse()?;
    wait::until(SOON, "the replay is passed", async || {
        passed(cornjacket).await.is_ok_and(|now| now >= before + count)
    })
    .await
}

/// How often each delivery was received: once, or once more for each attempt that was cut off. How many of those there were.
async fn check(cornjacket: &Cornjacket, receiver: &Receiver) -> anyhow::Result<usize> {
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for asked in receiver.asked() {
        *times.entry(asked.id).or_default() += 1;
    }
    let mut again = 0;
    for delivery in deliveries(cornjacket).await? {
        let request = GetDeliveryRequest { id: delivery.id.clone() };
        let attempts = cornjacket.actions().await?.get_delivery(request).await?.into_inner().attempts;
        let cut_off = attempts.iter().filter(|one| one.outcome() == Outcome::Interrupted).count();
        let count = times.remove(&delivery.id).unwrap_or_default();
        assert!((1..=1 + cut_off).contains(&count), "received {count} times: {delivery:?} {attempts:?}");
        again += cut_off;
    }
    assert_eq!(times, BTreeMap::new(), "told without a delivery");
    Ok(again)
}

/// One that takes in and answers, and one that acts.
struct Pair {
    front: (Cornjacket, Process),
    actor: (Cornjacket, Process),
}

impl Pair {
    async fn start(full_stack: &FullStack) -> anyhow::Result<Self> {
        let roles = ["ingest,relay,projector,query", "actions"];
        let [front, actor] = roles.map(|roles| anyhow::Ok(full_stack.cornjacket(&SETTINGS)?.roles(roles)));
        let (front, actor) = (front?, actor?);
        Ok(Self {
            front: (front.clone(), front.start().await?),
            actor: (actor.clone(), actor.start().await?),
        })
    }

    async fn restart(self) -> anyhow::Result<Self> {
        stop(self.actor.1).await?;
        stop(self.front.1).await?;
        let (front, actor) = (self.front.0, self.actor.0);
        Ok(Self {
            front: (front.clone(), front.start().await?),
            actor: (actor.clone(), actor.start().await?),
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_a_replay_a_restart_and_a_redelivery_tell_nothing_again() -> anyhow::Result<()> {
    let full_stack = FullStack::shared().await?;
    let mut pair = Pair::start(&full_stack).await?;
    let receiver = Receiver::good().await?;
    let timeout = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    let actor = pair.actor.0.clone();
    make_endpoint(&actor, Endpoint { timeout, ..webhook("pager", &receiver.url()) }).await?;
    make_rule(&actor, every("every", "sensor.reading", "pager")).await?;
    make_rule(&actor, rule("once", "sensor.reading", "pager")).await?;
    append(&pair.front.0, "first", WAVE).await?;
    let mut told = WAVE + DEVICES;
    until_all_are(&actor, told, State::Delivered).await?;
    assert_eq!((check(&actor, &receiver).await?, receiver.asked().len()), (0, told));

    let rebuilt = operate(&pair.front.0, "projections", &["rebuild", "device_state"]).await?;
    assert!(rebuilt.contains("build 2"), "{rebuilt}");
    replay(&pair.front.0).await?;
    pair = pair.restart().await?;
    replay(&pair.front.0).await?;
    assert_eq!((deliveries(&actor).await?.len(), receiver.asked().len()), (told, told));

    // Killed before its progress is stored and after, and whenever: what it had read comes again.
    for kill in 0..3 {
        let before = receiver.asked().len();
        append(&pair.front.0, &format!("kill-{kill}"), WAVE).await?;
        told += WAVE;
        wait::until(SOON, "some are told", async || receiver.asked().len() > before).await?;
        pair.actor.1.kill9().await?;
        pair.actor.1 = actor.start().await?;
    }
    until_all_are(&actor, told, State::Delivered).await?;
    replay(&pair.front.0).await?;
    let again = check(&actor, &receiver).await?;
    println!("{told} deliveries, {} requests, {again} attempts were cut off", receiver.asked().len());
    stop(pair.actor.1).await?;
    stop(pair.front.1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_rule_tells_nothing_of_what_was_stored_before_it() -> anyhow::Result<()> {
    let full_stack = FullStack::shared().await?;
    let pair = Pair::start(&full_stack).await?;
    let (receiver, actor) = (Receiver::good().await?, pair.actor.0);
    make_endpoint(&actor, webhook("pager", &receiver.url())).await?;
    // Stored, and not yet decided on when the rule is made.
    stop(pair.actor.1).await?;
    append(&pair.front.0, "before", WAVE).await?;
    let store = open(&full_stack.database).await?;
    let late = every("late", "sensor.reading", "pager").encode_to_vec();
    let made = Redefinition {
        revision: store.defining.read().await?.revision,
        kind: DefinitionKind::Rule,
        name: "late",
        bytes: Some(&late),
        secret: None,
        forgives: false,
        by: None,
        now: SystemClock.now(),
    };
    assert_eq!(store.defining.redefine(&made).await?, Redefined::Done);
    append(&pair.front.0, "after", DEVICES).await?;
    let process = actor.start().await?;
    let told = until_all_are(&actor, DEVICES, State::Delivered).await?;
    assert!(told.iter().all(|one| one.event_id.starts_with("after")), "{told:#?}");
    wait::until(SOON, "everything is read", async || pair.front.0.is_all_read().await).await?;
    assert_eq!((check(&actor, &receiver).await?, receiver.asked().len()), (0, DEVICES));
    stop(process).await?;
    stop(pair.front.1).await
}

/// Waits until the log has so many events of a type.
async fn until_said(cornjacket: &Cornjacket, event_type: &str, count: usize) -> anyhow::Result<()> {
    let request = TailEventsRequest { r#type: event_type.into(), ..TailEventsRequest::default() };
    let mut tail = cornjacket.query().await?.tail_events(request).await?.into_inner();
    let mut said = 0;
    while said < count {
        let next = timeout(SOON, tail.message()).await.with_context(|| format!("{said} of {count}"))??;
        said += usize::from(matches!(next.and_then(|next| next.message), Some(Told::Event(_))));
    }
    Ok(())
}

/// A rule that tells an endpoint of its own failures, each of which is another.
#[tokio::test(flavor = "multi_thread")]
async fn a_rule_on_its_own_endpoints_failures_ends() -> anyhow::Result<()> {
    /// Beside the first, out of one another: what comes of four is not told.
    const OWN: usize = 3;
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite://{}", folder.path().join("cornjacket.db").display());
    let cornjacket = Cornjacket::new(&[&[("store.url", url.as_str())], &SETTINGS[..]].concat())?;
    let process = cornjacket.start().await?;
    let receiver = Receiver::good().await?;
    receiver.behave(|_| Answer::Status(400));
    let broken = Endpoint { client_errors_are_final: true, ..webhook("broken", &receiver.url()) };
    make_endpoint(&cornjacket, broken).await?;
    make_rule(&cornjacket, every("readings", "sensor.reading", "broken")).await?;
    make_rule(&cornjacket, every("failures", "system.delivery_failed", "broken")).await?;
    // What comes of us means only rules that name it.
    let types = vec!["sensor.*".to_owned(), "system.delivery_*".to_owned()];
    make_rule(&cornjacket, Rule { types, ..every("patterns", "", "broken") }).await?;
    cornjacket.append(reading("pump-7", "1", 1.0)).await?;
    // By `readings` and by `patterns`, and by `failures` of each of them.
    let told = 2 + 2 * OWN;
    until_all_are(&cornjacket, told, State::Dead).await?;
    until_said(&cornjacket, "system.delivery_failed", told).await?;
    stop(process).await?;
    let process = cornjacket.start().await?;
    wait::until(SOON, "everything is read", async || cornjacket.is_all_read().await).await?;
    assert_eq!((deliveries(&cornjacket).await?.len(), receiver.asked().len()), (told, told));
    stop(process).await?;
    let log = read_log(&url).await?;
    let (store, mut outcomes) = (open(&url).await?, Vec::new());
    for stored in log.iter().filter(|one| one.event_type == "system.delivery_failed") {
        let event = stored.decode()?;
        let asked = DecidedEvent {
            source: &event.source,
            id: &event.id,
            event_type: &event.r#type,
            subject: &event.subject,
            position: stored.position,
        };
        let decisions = store.ledger.of_event(&asked).await?;
        let [decision] = decisions.as_slice() else { panic!("{decisions:#?}") };
        assert_eq!(decision.rule, "failures");
        outcomes.push(decision.outcome);
    }
    assert_eq!(outcomes.len(), told, "each says so once");
    let count = |outcome| outcomes.iter().filter(|one| **one == outcome).count();
    assert_eq!((count(Decided::Sent), count(Decided::Loop)), (2 * OWN, 2), "{outcomes:?}");
    Ok(())
}
