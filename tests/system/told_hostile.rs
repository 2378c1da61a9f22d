//! Receivers that mean harm: each attempt at them ends in time and says what it was, memory stays bounded, nobody is led elsewhere,
//! and whoever means well is told as soon as when all others meant well.
//!
//! They are at 127.0.0.1, which is allowed here. That a name means a good address when it is looked at and a private one when it is
//! dialled (DNS rebinding) cannot be shown of a whole process, which asks the resolver of the machine:
//! `crates/actions/src/outside/tests/names.rs` shows it with one that changes its mind.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use cornjacket_proto::actions::attempt::Outcome;
use cornjacket_proto::actions::delivery::State;
use cornjacket_proto::actions::{
    Attempt, Delivery, Endpoint, GetDeliveryRequest, ListDeliveriesRequest, Rule, UpdateEndpointRequest,
};
use cornjacket_proto::ingest::AppendRequest;
use cornjacket_testkit::{Process, wait};
use futures::future::try_join_all;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::cornjacket::{Cornjacket, stop};
use super::events::reading;
use super::full_stack::FullStack;
use super::hostile_receivers::{Harm, HostileReceiver};
use super::receiver::Receiver;
use super::told::{SETTINGS, SOON, make_endpoint, make_rule, rule, webhook};

/// How long an attempt at any of them may take, and what a busy machine may take beyond that.
const TIMEOUT: Duration = Duration::from_secs(2);
const MARGIN: Duration = Duration::from_millis(1_500);
/// Events that are told to everybody, when all mean well and when most do not.
const EVENTS: usize = 200;
const PACE: Duration = Duration::from_millis(50);
/// What all the harm may add to the memory of the process at its most: what is unpacked, or read to its end, is far more.
const MORE_MEMORY: u64 = 192 << 20;
/// What is kept of an answer.
const MOST_RESPONSE: usize = 16 << 10;
/// Attempts at one of them at once, which is as many as can be.
const MANY: u32 = 64;

/// Somebody who means harm, and what is to come of it.
struct Enemy {
    name: &'static str,
    /// `http` or `https`.
    scheme: &'static str,
    harm: Harm,
    outcome: Outcome,
    status: u32,
    /// What the attempt says of it, in part.
    says: &'static str,
}

impl Enemy {
    fn new(name: &'static str, harm: Harm) -> Self {
        let (outcome, says) = (Outcome::Failed, "not done within 2s: ");
        Self { name, scheme: "http", harm, outcome, status: 0, says }
    }

    fn is_right(&self, attempt: &Attempt) -> bool {
        let is_whole = match self.name {
            "endless-body" => attempt.response == vec![b'x'; MOST_RESPONSE],
            "gzip-bomb" => {
                attempt.response.len() == MOST_RESPONSE && attempt.response.starts_with(b"\x1f\x8b")
            }
            _ => attempt.response.len() <= MOST_RESPONSE,
        };
        is_whole
            && (attempt.outcome(), attempt.status) == (self.outcome, self.status)
            && attempt.error.contains(self.says)
    }
}

/// All of them; `elsewhere` is a place that nobody may be led to.
fn enemies(elsewhere: &str) -> anyhow::Result<Vec<Enemy>> {
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n";
    let chunk = [b"1000\r\n", vec![b'x'; 4_096].as_slice(), b"\r\n"].concat();
    let endless = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let (interim, lines) = (b"HTTP/1.1 100 Continue\r\n\r\n".repeat(100), b"x: y\r\n".repeat(1_000));
    let tls = |name, harm| Enemy { scheme: "https", ..Enemy::new(name, harm) };
    let led = |name, place: &str| Enemy {
        status: 302,
        says: "redirects are not followed",
        ..Enemy::new(name, Harm::redirect(place))
    };
    let good =
        |name, harm| Enemy { outcome: Outcome::Delivered, status: 200, says: "", ..Enemy::new(name, harm) };
    Ok(vec![
        Enemy::new("silence", Harm::Silence),
        Enemy::new("slow-head", Harm::Drip("HTTP/1.1 200 OK\r\nx-slow: ")),
        Enemy { status: 200, ..Enemy::new("slow-body", Harm::Drip(ok)) },
        Enemy {
            says: "message head is too large",
            ..Enemy::new("endless-head", Harm::Flood("HTTP/1.1 200 OK\r\n", lines))
        },
        Enemy {
            says: "more came than an answer may have",
            ..Enemy::new("endless-interim", Harm::Flood("", interim))
        },
        good("endless-body", Harm::Flood(endless, chunk)),
        good("gzip-bomb", Harm::bomb()?),
        led("to-metadata", "http://169.254.169.254/latest/meta-data"),
        led("to-elsewhere", elsewhere),
        Enemy {
            says: "TLS could not be agreed on",
            ..tls("tls-nonsense", Harm::Nonsense(b"SSH-2.0-OpenSSH\r\n"))
        },
        tls("tls-silence", Harm::Silence),
    ])
}

/// An endpoint that is told of every reading.
async fn make(cornjacket: &Cornjacket, endpoint: Endpoint) -> anyhow::Result<()> {
    let name = endpoint.name.clone();
    make_endpoint(cornjacket, endpoint).await?;
    let window = Some(prost_types::Duration::default());
    make_rule(cornjacket, Rule { deduplication_window: window, ..rule(&name, "sensor.reading", &name) })
        .await?;
    Ok(())
}

fn endpoint(enemy: &Enemy, url: &str) -> Endpoint {
    Endpoint { timeout: TIMEOUT.try_into().ok(), slots: MANY, ..webhook(enemy.name, url) }
}

/// What it was told of is over, and from now on it means harm.
async fn turn(cornjacket: &Cornjacket, enemy: &Enemy, receiver: &HostileReceiver) -> anyhow::Result<()> {
    let url = format!("{}://{}/hook", enemy.scheme, receiver.address());
    let request = UpdateEndpointRequest { endpoint: Some(endpoint(enemy, &url)), ..Default::default() };
    cornjacket.actions().await?.update_endpoint(request).await?;
    Ok(())
}

/// Tells of so many events, at a pace: how long each took from its receipt to the receiver, the shortest first.
async fn tell(cornjacket: &Cornjacket, receiver: &Receiver, wave: &str) -> anyhow::Result<Vec<Duration>> {
    let (mut ingest, before) = (cornjacket.ingest().await?, receiver.asked().len());
    let (mut pace, mut taken) = (interval(PACE), Vec::new());
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0..EVENTS {
        pace.tick().await;
        let id = format!("{wave}-{number}");
        let event = Some(reading(&format!("pump-{}", number % 20), &id, 1.0));
        ingest.append(AppendRequest { event }).await?;
        taken.push((id, Instant::now()));
    }
    let all = wait::until(SOON, "everything is told", async || receiver.asked().len() >= before + EVENTS);
    all.await.with_context(|| format!("{} of {EVENTS}", receiver.asked().len() - before))?;
    let told = receiver.asked().split_off(before);
    let arrived = |id: &str| told.iter().find(|asked| asked.event["id"] == id).map(|asked| asked.at);
    let took = taken.iter().map(|(id, at)| Some(arrived(id)?.saturating_duration_since(*at)));
    let mut took = took.collect::<Option<Vec<_>>>().context("every event is told")?;
    took.sort_unstable();
    Ok(took)
}

fn quantile(sorted: &[Duration], of_a_hundred: usize) -> Duration {
    sorted[(sorted.len() - 1) * of_a_hundred / 100]
}

/// What an endpoint is told of a wave.
async fn deliveries_to(cornjacket: &Cornjacket, endpoint: &str, wave: &str) -> anyhow::Result<Vec<Delivery>> {
    let request = ListDeliveriesRequest {
        endpoint: endpoint.into(),
        page_size: 1_000,
        ..ListDeliveriesRequest::default()
    };
    let all = cornjacket.actions().await?.list_deliveries(request).await?.into_inner().deliveries;
    Ok(all.into_iter().filter(|one| one.event_id.starts_with(wave)).collect())
}

/// Everything that was begun has ended: what arrives has arrived, and the others are left alone for a while.
async fn quiet(cornjacket: &Cornjacket, enemy: &Enemy) -> anyhow::Result<Vec<Delivery>> {
    let mut seen = Vec::new();
    let ended = wait::until(SOON, "every attempt has ended", async || {
        seen = deliveries_to(cornjacket, enemy.name, "beside").await.unwrap_or_default();
        let of = |state| seen.iter().filter(|one| one.state() == state).count();
        let begun = seen.iter().any(|one| one.attempts > 0);
        let arrived = enemy.outcome != Outcome::Delivered || of(State::Delivered) == EVENTS;
        seen.len() == EVENTS && begun && arrived && of(State::Sending) == 0
    });
    ended.await.with_context(|| format!("{}: {:?}", enemy.name, seen.first()))?;
    Ok(seen)
}

/// Every attempt at it: it was in time, and is what it was to be.
async fn check(cornjacket: &Cornjacket, enemy: &Enemy) -> anyhow::Result<(usize, Duration)> {
    let (mut actions, mut slowest, mut count) = (cornjacket.actions().await?, Duration::ZERO, 0);
    for delivery in quiet(cornjacket, enemy).await?.into_iter().filter(|one| one.attempts > 0) {
        let whole = actions.get_delivery(GetDeliveryRequest { id: delivery.id }).await?.into_inner();
        for attempt in whole.attempts {
            let took = attempt.latency.and_then(|took| Duration::try_from(took).ok()).context("it ended")?;
            let brief = Attempt {
                response: attempt.response.slice(..attempt.response.len().min(32)),
                ..attempt.clone()
            };
            anyhow::ensure!(took <= TIMEOUT + MARGIN, "{}: {took:?}: {brief:?}", enemy.name);
            anyhow::ensure!(enemy.is_right(&attempt), "{}: {brief:?}", enemy.name);
            (slowest, count) = (slowest.max(took), count + 1);
        }
    }
    Ok((count, slowest))
}

async fn harm_is_borne(cornjacket: Cornjacket) -> anyhow::Result<()> {
    let process: Process = cornjacket.start().await?;
    let (good, friend) = (Receiver::good().await?, Receiver::good().await?);
    let elsewhere = HostileReceiver::start(Harm::Silence).await?;
    let enemies = enemies(&format!("http://{}/", elsewhere.address()))?;
    let receivers = enemies.iter().map(|enemy| HostileReceiver::start(enemy.harm.clone()));
    let receivers = try_join_all(receivers).await?;
    make(&cornjacket, Endpoint { slots: MANY, ..webhook("good", &good.url()) }).await?;
    for enemy in &enemies {
        make(&cornjacket, endpoint(enemy, &friend.url())).await?;
    }
    tell(&cornjacket, &good, "warm").await?;
    let among_friends = tell(&cornjacket, &good, "among").await?;
    wait::until(SOON, "all are told", async || friend.asked().len() == 2 * EVENTS * enemies.len()).await?;
    let before = process.peak_memory()?;
    for (enemy, receiver) in enemies.iter().zip(&receivers) {
        turn(&cornjacket, enemy, receiver).await?;
    }
    let beside = tell(&cornjacket, &good, "beside").await?;
    for (enemy, receiver) in enemies.iter().zip(&receivers) {
        let (count, slowest) = check(&cornjacket, enemy).await.with_context(|| process.log())?;
        println!("{}: {count} attempts, the slowest took {slowest:?}", enemy.name);
        assert!(receiver.met() > 0, "{}", enemy.name);
    }
    assert_eq!(elsewhere.met(), 0, "somebody was led there");
    let more = process.peak_memory()? - before;
    let of = |sorted: &[Duration]| (quantile(sorted, 50), quantile(sorted, 99));
    println!(
        "p50 and p99 among friends {:?}, beside them {:?}; {} MiB more",
        of(&among_friends),
        of(&beside),
        more >> 20
    );
    assert!(more < MORE_MEMORY, "{more} bytes");
    // Whoever had to wait for one of them waited for as long as an attempt at it takes.
    assert!(quantile(&beside, 99) < TIMEOUT.max(5 * quantile(&among_friends, 99)), "{beside:?}");
    let asked = good.asked();
    let ids: BTreeSet<&str> = asked.iter().map(|asked| asked.id.as_str()).collect();
    assert_eq!((asked.len(), ids.len()), (3 * EVENTS, 3 * EVENTS), "each once");
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn harm_is_borne_embedded() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite://{}", folder.path().join("cornjacket.db").display());
    harm_is_borne(Cornjacket::new(&[&[("store.url", url.as_str())], &SETTINGS[..]].concat())?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn harm_is_borne_on_postgres_and_kafka() -> anyhow::Result<()> {
    harm_is_borne(FullStack::shared().await?.cornjacket(&SETTINGS)?).await
}
