//! A handler that fails on one event in a thousand: its key is parked, and nobody else notices.
//!
//! The product has no place to put faults in. They come from below: a trigger in the test's own database refuses states
//! that have come to include a faulty event, as the database refuses data that it cannot keep, without saying which it is.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use cornjacket_domain::{Partitions, StoredEvent};
use cornjacket_proto::admin::{ListDeadLettersRequest, RedriveDeadLettersRequest};
use cornjacket_proto::events::Event;
use cornjacket_proto::ingest::{AppendBatchRequest, AppendRequest};
use cornjacket_proto::query::GetProjectionRequest;
use cornjacket_query::projections;
use cornjacket_testkit::{Program, wait};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::cornjacket::{Cornjacket, stop};
use super::events::reading;
use super::expected;
use super::full_stack::{FullStack, PARTITIONS, open, read_log};
use super::load::{Random, long};

const DEVICES: usize = 20_000;
/// Sent first, while connections and caches are made.
const WARM_UP: usize = 1_000;
/// The end of what is sent without faults, to compare with.
const QUIET: usize = 5_000;
const ONE_IN: usize = 1_000;
/// What every device that failed sends on top, to wait behind the fault.
const LATER: usize = 3;
const BATCH: usize = 50;
const PACE: Duration = Duration::from_millis(50);
const PROBE_EVERY: Duration = Duration::from_millis(25);
/// For the worst probe of all, on a machine that does other things as well.
const WORST: Duration = Duration::from_secs(5);
/// For the median of probes: what a busy machine makes of milliseconds.
const NOISE: Duration = Duration::from_millis(500);
const DEADLINE: Duration = Duration::from_mins(1);

/// States are saved by subject and last position: an event is in a state from the first save on that reaches it.
const FAULTS: &str = "
    create table public.faults (subject text, id text, primary key (subject, id));
    create function public.fail() returns trigger language plpgsql security definer as $$
    begin
        -- Nearly nobody has one, and must not pay for it.
        perform from public.faults where subject = new.subject;
        if found and exists (select from public.faults join event_store.log log using (subject)
            where subject = new.subject and log.position <= new.last_position
                and log.position > coalesce(old.last_position, 0)
                and position(convert_to(id, 'UTF8') in event) > 0)
        then raise data_exception using message = 'a fault';
        end if;
        return null;
    end $$;
    create trigger fail after insert or update on timeseries.projection_states
        for each row when (new.projection = 'device_state') execute function public.fail()";
const LIFT: &str = "drop trigger fail on timeseries.projection_states";

/// The end of what is sent with faults among it.
fn end() -> usize {
    QUIET + if long() { 200_000 } else { 20_000 }
}

fn device(number: usize) -> String {
    format!("device-{:05}", number % DEVICES)
}

/// As many digits in every one, so that none is part of another.
fn id(number: usize) -> String {
    format!("event-{number:06}")
}

/// Every device sends in turn, and measures something else each time.
fn events(numbers: impl Iterator<Item = usize>) -> Vec<Event> {
    let value = |number| f64::from(u32::try_from(number).expect("a small number"));
    numbers.map(|number| reading(&device(number), &id(number), value(number))).collect()
}

/// One of every thousand, chosen before they are sent.
fn choose_faults(random: &mut Random) -> BTreeSet<usize> {
    let thousands = (QUIET..end()).step_by(ONE_IN);
    thousands.map(|first| first + usize::try_from(random.within(0..ONE_IN as u64)).expect("small")).collect()
}

async fn psql(full_stack: &FullStack, statement: &str) -> anyhow::Result<()> {
    let psql = Program::new("psql").args(["-qX", "-v", "ON_ERROR_STOP=1", "-c", statement]);
    psql.arg(&full_stack.database).output(DEADLINE).await?;
    Ok(())
}

async fn inject(full_stack: &FullStack, faults: &BTreeSet<usize>) -> anyhow::Result<()> {
    psql(full_stack, FAULTS).await?;
    let rows = faults.iter().map(|number| format!("('{}', '{}')", device(*number), id(*number)));
    let rows: Vec<_> = rows.collect();
    psql(full_stack, &format!("insert into public.faults values {}", rows.join(","))).await
}

/// How long it took from receipts to answers that include their events, in the order asked.
struct Lags(Vec<Duration>);

impl Lags {
    /// That of `percent` of them is no longer.
    fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted[(sorted.len() - 1) * percent / 100]
    }

    /// No part of it is worse than it was without faults, and nobody waited for long.
    fn check_flat(&self, quiet: &Self) {
        let most = quiet.percentile(50) * 2 + NOISE;
        for quarter in self.0.chunks(self.0.len().div_ceil(4)) {
            let quarter = Self(quarter.to_vec());
            println!("a quarter of it: {quarter}");
            assert!(quarter.percentile(50) <= most, "{quarter}; without faults {quiet}");
        }
        assert!(self.percentile(100) < WORST, "somebody waited: {self}");
    }
}

impl fmt::Display for Lags {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, most, worst] = [50, 99, 100].map(|percent| self.percentile(percent).as_millis());
        write!(formatter, "median {median} ms, p99 {most} ms, worst {worst} ms of {}", self.0.len())
    }
}

async fn send(cornjacket: Cornjacket, events: Vec<Event>) -> anyhow::Result<()> {
    let (mut ingest, mut pace) = (cornjacket.ingest().await?, interval(PACE));
    for batch in events.chunks(BATCH) {
        pace.tick().await;
        ingest.append_batch(AppendBatchRequest { events: batch.to_vec() }).await?;
    }
    Ok(())
}

/// Sends these at a steady pace, and measures meanwhile how long readings of other devices take to be seen.
async fn probe_while_sending(
    cornjacket: &Cornjacket,
    phase: &str,
    events: Vec<Event>,
) -> anyhow::Result<Lags> {
    let (mut ingest, mut query) = (cornjacket.ingest().await?, cornjacket.query().await?);
    let (began, count) = (Instant::now(), events.len());
    let sending = tokio::spawn(send(cornjacket.clone(), events));
    let mut pace = interval(PROBE_EVERY);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut lags = Vec::new();
    while !sending.is_finished() {
        pace.tick().await;
        let name = format!("probe-{phase}-{}", lags.len());
        let probe = AppendRequest { event: Some(reading(&name, &name, 1.0)) };
        let receipt = ingest.append(probe).await?.into_inner().receipt.unwrap_or_default();
        let acknowledged = Instant::now();
        let projection = "device_state".into();
        let consistency_token = receipt.consistency_token;
        let request = GetProjectionRequest { projection, subject: name, consistency_token };
        query.get_projection(request).await?;
        lags.push(acknowledged.elapsed());
    }
    sending.await??;
    let lags = Lags(lags);
    println!("{phase}: {count} events in {:.1?}; lag: {lags}", began.elapsed());
    Ok(lags)
}

/// A dead letter: its partition and position, and whether it has an error.
type Letter = (u32, u64, bool);

/// What should be parked: what is faulty, and what its device sent after it.
fn expected_letters(log: &[StoredEvent], faults: &BTreeSet<usize>) -> anyhow::Result<Vec<Letter>> {
    let ids: BTreeSet<String> = faults.iter().copied().map(id).collect();
    let partitions = Partitions::new(PARTITIONS).expect("above zero");
    let (mut parked, mut letters) = (BTreeSet::new(), Vec::new());
    for stored in log {
        let partition = partitions.of_subject(&stored.subject).into();
        if parked.contains(&stored.subject) {
            letters.push((partition, stored.position, false));
        } else if ids.contains(&stored.decode()?.id) {
            parked.insert(stored.subject.clone());
            letters.push((partition, stored.position, true));
        }
    }
    letters.sort_unstable();
    Ok(letters)
}

/// What is parked, in the order of the bus.
async fn letters(cornjacket: &Cornjacket) -> anyhow::Result<Vec<Letter>> {
    let request = ListDeadLettersRequest { page_size: 1_000, ..ListDeadLettersRequest::default() };
    let listed = cornjacket.admin().await?.list_dead_letters(request).await?.into_inner().dead_letters;
    assert!(listed.iter().all(|letter| letter.consumer == "device_state"), "{listed:?}");
    Ok(listed.iter().map(|letter| (letter.partition, letter.position, !letter.error.is_empty())).collect())
}

/// Waits until everything that is not parked was read; how many keys are.
async fn parked_keys(cornjacket: &Cornjacket) -> anyhow::Result<u64> {
    wait::until_some(DEADLINE, "everything was read", async || {
        let consumers = cornjacket.consumers().await.ok()?;
        let has_read = consumers.iter().all(|one| one.lag_events == 0);
        has_read.then(|| consumers.iter().map(|one| one.parked_keys).sum())
    })
    .await
}

/// The states of all devices are the fold of the log without what is `missing`.
async fn check_fold(full_stack: &FullStack, log: &[StoredEvent], missing: &[Letter]) -> anyhow::Result<()> {
    let projection = projections::by_name("device_state").expect("registered");
    let missing: BTreeSet<u64> = missing.iter().map(|(_, position, _)| *position).collect();
    let events = expected::events(log, |event| !missing.contains(&event.position))?;
    let store = open(&full_stack.database).await?;
    let mut snapshot = store.snapshots.begin(DEADLINE).await?;
    let states = expected::states(projection, &events)?;
    expected::check_states(snapshot.as_mut(), projection, &states).await?;
    println!("{} states are the fold of all but {} events", states.len(), missing.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_park_their_keys_and_nobody_else_waits() -> anyhow::Result<()> {
    let full_stack = FullStack::shared().await?;
    let cornjacket = full_stack.cornjacket(&[])?.roles("ingest,relay,projector,query");
    let process = cornjacket.start().await?;
    let faults = choose_faults(&mut Random::seeded());
    inject(&full_stack, &faults).await?;

    probe_while_sending(&cornjacket, "warm-up", events(0..WARM_UP)).await?;
    let quiet = probe_while_sending(&cornjacket, "quiet", events(WARM_UP..QUIET)).await?;
    let lags = probe_while_sending(&cornjacket, "faulty", events(QUIET..end())).await?;
    lags.check_flat(&quiet);

    let beyond = end().next_multiple_of(DEVICES);
    let later = |round: usize| faults.iter().map(move |number| number + (round + 1) * beyond);
    send(cornjacket.clone(), events((0..LATER).flat_map(later))).await?;
    let log = read_log(&full_stack.database).await?;
    let expected = expected_letters(&log, &faults)?;
    let keys: BTreeSet<String> = faults.iter().copied().map(device).collect();
    assert_eq!(parked_keys(&cornjacket).await?, keys.len() as u64);
    assert_eq!(letters(&cornjacket).await?, expected, "what failed and what waits, each queue in order");
    check_fold(&full_stack, &log, &expected).await?;

    psql(&full_stack, LIFT).await?;
    let all = RedriveDeadLettersRequest { all: true, ..RedriveDeadLettersRequest::default() };
    cornjacket.admin().await?.redrive_dead_letters(all).await?;
    wait::until(DEADLINE, "no dead letter is left", async || {
        letters(&cornjacket).await.is_ok_and(|letters| letters.is_empty())
    })
    .await?;
    assert_eq!(parked_keys(&cornjacket).await?, 0);
    check_fold(&full_stack, &log, &[]).await?;
    stop(process).await
}
