//! Replicas that decide and deliver are killed (-9), or stand still and wake up: every event has one end in the ledger, everything
//! is told, and what is told twice was cut off or had no answer the first time.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::Context;
use cornjacket_domain::{StoredEvent, Timestamp};
use cornjacket_proto::actions::attempt::Outcome;
use cornjacket_proto::actions::{Endpoint, GetEndpointRequest, Grouping, Rule, UpdateEndpointRequest};
use cornjacket_proto::ingest::AppendBatchRequest;
use cornjacket_store::{
    Attempt, DecidedEvent, Delivery, DeliveryFilter, DeliveryState, Outcome as Decided, Store,
};
use cornjacket_testkit::{Process, wait};

use super::cornjacket::{Cornjacket, stop};
use super::events::reading;
use super::full_stack::{FullStack, open, read_log};
use super::load::{Random, long};
use super::receiver::{Answer, Asked, Receiver};
use super::told::{SETTINGS, make_endpoint, make_rule, rule, webhook};

/// Everything is settled within this once nobody is killed any more.
const SETTLE: Duration = Duration::from_mins(5);
const PROGRESS: Duration = Duration::from_mins(1);
/// Of every endpoint; it is what leases follow from.
const TIMEOUT: i64 = 1;
const DEVICES: usize = 20;
/// Events between a kill and the next.
const CHUNK: usize = 50;
/// One disturbance in so many is no kill: somebody stands still until others have taken over what was theirs.
const STALL: usize = 5;
const ROLES: &str = "ingest,relay,actions";
const PAGE: u32 = 1_000;

type Behaviour = fn(usize) -> Answer;

/// How the receivers are, and whether their endpoints keep an order. A rule of the same name tells each of every reading.
const RECEIVERS: [(&str, bool, Behaviour); 4] = [
    ("good", false, |_| Answer::Status(204)),
    ("failing", true, |number| Answer::Status(if number % 7 == 3 { 500 } else { 200 })),
    ("hanging", false, |number| if number % 9 == 4 { Answer::Never } else { Answer::Status(200) }),
    ("flapping", true, |number| Answer::Status(if number % 60 >= 50 { 503 } else { 200 })),
];
/// The rule that tells `good` of each device once, within its window.
const ONCE: &str = "once";

/// The rule that tells a receiver of its name of each device's readings together.
const TOGETHER: &str = "together";

struct Replica {
    cornjacket: Cornjacket,
    process: Process,
}

struct Bed {
    full_stack: FullStack,
    store: Store,
    replicas: Vec<Replica>,
    receivers: BTreeMap<&'static str, Receiver>,
    events: usize,
}

/// A rule with a group for each device, which is told every half second.
fn together() -> Rule {
    let half = Some(prost_types::Duration { seconds: 0, nanos: 500_000_000 });
    let grouping = Grouping {
        key: "{{ event.subject }}".into(),
        wait: Some(prost_types::Duration::default()),
        interval: half,
        ..Grouping::default()
    };
    let window = Some(prost_types::Duration::default());
    let rule = rule(TOGETHER, "sensor.reading", TOGETHER);
    Rule { grouping: Some(grouping), deduplication_window: window, ..rule }
}

impl Bed {
    async fn start() -> anyhow::Result<Self> {
        let full_stack = FullStack::shared().await?;
        let mut replicas = Vec::new();
        for _ in 0..3 {
            let cornjacket = full_stack.cornjacket(&SETTINGS)?.roles(ROLES);
            replicas.push(Replica { process: cornjacket.start().await?, cornjacket });
        }
        let (store, mut receivers) = (open(&full_stack.database).await?, BTreeMap::new());
        let anybody = &replicas[0].cornjacket;
        for (name, ordered, behave) in RECEIVERS {
            let receiver = Receiver::start(behave).await?;
            let timeout = Some(prost_types::Duration { seconds: TIMEOUT, nanos: 0 });
            make_endpoint(anybody, Endpoint { ordered, timeout, ..webhook(name, &receiver.url()) }).await?;
            let window = Some(prost_types::Duration::default());
            let every = Rule { deduplication_window: window, ..rule(name, "sensor.reading", name) };
            make_rule(anybody, every).await?;
            receivers.insert(name, receiver);
        }
        make_rule(anybody, rule(ONCE, "sensor.reading", "good")).await?;
        let receiver = Receiver::good().await?;
        make_endpoint(anybody, webhook(TOGETHER, &receiver.url())).await?;
        make_rule(anybody, together()).await?;
        receivers.insert(TOGETHER, receiver);
        Ok(Self { full_stack, store, replicas, receivers, events: 0 })
    }

    fn asked(&self) -> usize {
        self.receivers.values().map(|receiver| receiver.asked().len()).sum()
    }

    /// Events by way of any that lives; one that was stored already is so once.
    async fn append(&mut self) -> anyhow::Result<()> {
        let numbers = self.events..self.events + CHUNK;
        let event = |number: usize| reading(&format!("pump-{}", number % DEVICES), &number.to_string(), 1.0);
        let events: Vec<_> = numbers.map(event).collect();
        self.events += CHUNK;
        wait::until(PROGRESS, "somebody takes the events", async || {
            for replica in &self.replicas {
                let request = AppendBatchRequest { events: events.clone() };
                if let Ok(mut ingest) = replica.cornjacket.ingest().await
                    && ingest.append_batch(request).await.is_ok()
                {
                    return true;
                }
            }
            false
        })
        .await
    }

    async fn kill(&mut self, victim: usize) -> anyhow::Result<()> {
        self.replicas[victim].process.kill9().await?;
        // Two go on for as long as it takes the third to be there again.
        self.replicas[victim].process = self.replicas[victim].cornjacket.start().await?;
        Ok(())
    }

    /// Stands still until others have taken over all that was under way.
    async fn stall(&mut self, victim: usize) -> anyhow::Result<()> {
        self.replicas[victim].process.pause()?;
        let before = self.claims().await?;
        wait::until(PROGRESS, "others take over", async || {
            self.claims().await.is_ok_and(|now| before.iter().all(|claim| !now.contains(claim)))
        })
        .await?;
        self.replicas[victim].process.resume()
    }

    async fn claims(&self) -> anyhow::Result<Vec<(String, u64)>> {
        let filter = DeliveryFilter { state: Some(DeliveryState::Sending), ..DeliveryFilter::default() };
        let all = self.store.deliveries.list(&filter, None, PAGE).await?;
        Ok(all.into_iter().map(|one| (one.told.id, one.fence)).collect())
    }

    async fn are_all_settled(&self, count: usize) -> anyhow::Result<bool> {
        for state in [DeliveryState::Pending, DeliveryState::Sending] {
            let filter = DeliveryFilter { state: Some(state), ..DeliveryFilter::default() };
            if !self.store.deliveries.list(&filter, None, 1).await?.is_empty() {
                return Ok(false);
            }
        }
        // Nor does anything wait in a group.
        let nothing_waits = self.store.deliveries.next_due(Timestamp::from_micros(0)).await?.is_none();
        Ok(nothing_waits && self.deliveries().await?.len() >= count)
    }

    async fn deliveries(&self) -> anyhow::Result<Vec<Delivery>> {
        let (mut all, filter): (Vec<Delivery>, _) = (Vec::new(), DeliveryFilter::default());
        loop {
            let below = all.last().map(|last| last.number);
            let page = self.store.deliveries.list(&filter, below, PAGE).await?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    }

    /// An operator who sees a breaker open, and that the receiver is well, need not wait five minutes.
    async fn mend(&self) -> anyhow::Result<()> {
        let mut actions = self.replicas[0].cornjacket.actions().await?;
        for (name, health) in self.store.deliveries.health().await? {
            if health.open_until.is_none() {
                continue;
            }
            println!("the breaker of {name} is open");
            for disabled in [true, false] {
                let request = GetEndpointRequest { name: name.clone() };
                let endpoint = actions.get_endpoint(request).await?.into_inner().endpoint;
                let endpoint = Endpoint { disabled, ..endpoint.context("an endpoint")? };
                actions
                    .update_endpoint(UpdateEndpointRequest { endpoint: Some(endpoint), ..Default::default() })
                    .await?;
            }
        }
        Ok(())
    }

    /// Waits until so many deliveries have come to their ends.
    async fn settle(&self, count: usize) -> anyhow::Result<()> {
        let settled = wait::until(SETTLE, "everything is settled", async || {
            self.mend().await.is_ok() && self.are_all_settled(count).await.unwrap_or_default()
        });
        let left = async || {
            let all = self.deliveries().await.unwrap_or_default();
            let left = all.iter().filter(|one| one.settled.is_none()).take(3);
            format!("{} deliveries of {count}: {:#?}", all.len(), left.collect::<Vec<_>>())
        };
        match settled.await {
            Err(error) => Err(error.context(left().await)),
            done => done,
        }
    }

    /// What was told together is all that was decided to be, each once.
    fn check_groups(&self, decided: &HashMap<String, usize>) {
        let mut told: HashMap<String, usize> = HashMap::new();
        for asked in self.receivers[TOGETHER].asked() {
            let count = match asked.event["data"]["count"].as_f64() {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a count")]
                Some(count) => count as usize,
                None => 1,
            };
            told.insert(asked.id, count);
        }
        let mut decided: Vec<usize> = decided.values().copied().collect();
        let mut told: Vec<usize> = told.into_values().collect();
        decided.sort_unstable();
        told.sort_unstable();
        println!("{} events were told together, in {}", decided.iter().sum::<usize>(), told.len());
        assert_eq!(told, decided, "as many in each");
    }

    /// Every event has one end by every rule that means it. How many are told together, by what that is kept under.
    async fn check_ledger(&self, log: &[StoredEvent]) -> anyhow::Result<HashMap<String, usize>> {
        let mut together: HashMap<String, usize> = HashMap::new();
        let mut of_device: HashMap<&str, u64> = HashMap::new();
        let readings = || log.iter().filter(|stored| stored.event_type == "sensor.reading");
        readings().for_each(|stored| *of_device.entry(&stored.subject).or_default() += 1);
        for stored in readings() {
            let event = stored.decode()?;
            let asked = DecidedEvent {
                source: &event.source,
                id: &event.id,
                event_type: &event.r#type,
                subject: &event.subject,
                position: stored.position,
            };
            let decisions = self.store.ledger.of_event(&asked).await?;
            for (name, ..) in RECEIVERS {
                let of_rule: Vec<_> = decisions.iter().filter(|one| one.rule == name).collect();
                let [only] = of_rule.as_slice() else { panic!("{name} of {}: {of_rule:#?}", event.id) };
                assert_eq!((only.outcome, only.count), (Decided::Sent, 1), "{only:?}");
            }
            let grouped: Vec<_> = decisions.iter().filter(|one| one.rule == TOGETHER).collect();
            let [only] = grouped.as_slice() else { panic!("{TOGETHER} of {}: {grouped:#?}", event.id) };
            assert_eq!((only.outcome, only.count), (Decided::Grouped, 1), "{only:?}");
            *together.entry(only.because.clone().context("a telling")?).or_default() += 1;
            let once: Vec<_> = decisions.iter().filter(|one| one.rule == ONCE).collect();
            let [only] = once.as_slice() else { panic!("{ONCE} of {}: {once:#?}", event.id) };
            let repeats = of_device[stored.subject.as_str()] - 1;
            assert!(
                (only.outcome, only.count) == (Decided::Sent, 1)
                    || (only.outcome, only.count) == (Decided::Deduplicated, repeats),
                "{repeats} repeats: {only:?}"
            );
        }
        Ok(together)
    }

    /// Everything was received; more often than once only where it is known why.
    async fn check_deliveries(&self) -> anyhow::Result<()> {
        let (mut twice, mut interrupted, mut dead) = (0, 0, 0);
        let mut asked: HashMap<String, Vec<Asked>> = HashMap::new();
        for one in self.receivers.values().flat_map(Receiver::asked) {
            asked.entry(one.id.clone()).or_default().push(one);
        }
        let all = self.deliveries().await?;
        for one in &all {
            let (delivery, attempts) = self.store.deliveries.get(&one.told.id).await?.context("there")?;
            let requests = asked.remove(&one.told.id).unwrap_or_default();
            check_delivery(&delivery, &attempts, &requests);
            twice += usize::from(requests.len() > 1);
            dead += usize::from(delivery.state == DeliveryState::Dead);
            interrupted += attempts.iter().filter(|one| is(one, Outcome::Interrupted)).count();
        }
        assert!(asked.is_empty(), "told without a delivery: {:?}", asked.keys());
        println!(
            "{} deliveries, {twice} of them told more than once, {dead} given up; {interrupted} attempts were cut off",
            all.len()
        );
        anyhow::ensure!(interrupted > 0, "nobody was killed in the middle of work");
        Ok(())
    }

    /// Where an order is kept, each device's events came first in the order of the log.
    fn check_order(&self, log: &[StoredEvent]) -> anyhow::Result<()> {
        let mut positions = HashMap::new();
        for stored in log {
            positions.insert(stored.decode()?.id, stored.position);
        }
        for (name, ..) in RECEIVERS.iter().filter(|(_, ordered, _)| *ordered) {
            let mut last: HashMap<String, u64> = HashMap::new();
            let mut seen = std::collections::HashSet::new();
            for asked in self.receivers[name].asked() {
                if !seen.insert(asked.id) {
                    continue;
                }
                let text = |field: &str| asked.event[field].as_str().unwrap_or_default().to_owned();
                let position = positions[&text("id")];
                let before = last.insert(text("subject"), position);
                assert!(before < Some(position), "{name}: {position} came after {before:?}");
            }
        }
        Ok(())
    }
}

fn is(attempt: &Attempt, outcome: Outcome) -> bool {
    i32::from(attempt.result.outcome) == i32::from(outcome)
}

fn check_delivery(delivery: &Delivery, attempts: &[Attempt], requests: &[Asked]) {
    let count = |what: &dyn Fn(&Attempt) -> bool| attempts.iter().filter(|one| what(one)).count();
    let arrived = count(&|one| is(one, Outcome::Delivered));
    let answered = count(&|one| one.result.status != 0);
    // Whoever made it died, or the answer was lost.
    let unknown =
        count(&|one| is(one, Outcome::Interrupted) || (is(one, Outcome::Failed) && one.result.status == 0));
    let taken = requests.iter().filter(|one| matches!(one.answer, Answer::Status(200..300))).count();
    let all = format!("{delivery:#?} {attempts:#?} {requests:#?}");
    assert_eq!(answered + unknown, attempts.len(), "no attempt is left open: {all}");
    assert_eq!(arrived, usize::from(delivery.state == DeliveryState::Delivered), "{all}");
    assert!(!requests.is_empty(), "never told: {all}");
    assert!((answered..=answered + unknown).contains(&requests.len()), "told without an attempt: {all}");
    assert!((arrived..=arrived + unknown).contains(&taken), "taken twice, and nobody knows why: {all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_killed_again_and_again_tell_everything_and_nothing_twice_without_a_reason()
-> anyhow::Result<()> {
    // 2,000 decisions to tell something, or 20,000; and those of `ONCE`.
    let (kills, chunks) = if long() { (40, 100) } else { (10, 10) };
    let (mut bed, mut random) = (Bed::start().await?, Random::seeded());
    for chunk in 0..chunks {
        let before = bed.asked();
        bed.append().await?;
        wait::until(PROGRESS, "it is under way", async || bed.asked() > before + 10).await?;
        for disturbance in chunk * kills / chunks..(chunk + 1) * kills / chunks {
            // The instant is the point here, not that anything has happened by then.
            tokio::time::sleep(Duration::from_millis(random.within(0..500))).await;
            let victim = usize::try_from(random.within(0..3))?;
            if disturbance % STALL == STALL - 1 {
                bed.stall((victim + 1) % 3).await?;
            }
            bed.kill(victim).await?;
        }
        bed.mend().await?;
    }
    bed.settle(bed.events * RECEIVERS.len() + 2 * DEVICES).await?;
    let log = read_log(&bed.full_stack.database).await?;
    let together = bed.check_ledger(&log).await?;
    bed.check_groups(&together);
    bed.check_deliveries().await?;
    bed.check_order(&log)?;
    for replica in bed.replicas {
        stop(replica.process).await?;
    }
    Ok(())
}
