//! The fold law: whatever happens to consumers, what they make of the log is the fold of the log.

use std::time::Duration;

use cornjacket_domain::{Clock, SystemClock};
use cornjacket_proto::admin::{DiscardDeadLetterRequest, ListDeadLettersRequest};
use cornjacket_proto::events::Event;
use cornjacket_proto::events::event::Payload;
use cornjacket_simulator::{Options, Sent, Share, Simulation};
use cornjacket_store::Store;
use cornjacket_testkit::{Process, Program, wait};
use tokio::time::Instant;

use super::cornjacket::{Cornjacket, stop};
use super::expected::{Expected, until_read};
use super::full_stack::{FullStack, open, read_log};
use super::load::{Random, long, send_all};

const DEADLINE: Duration = Duration::from_mins(10);
/// What has been begun but not ended, once it stands still.
const IN_TRANSACTION: &str = "select string_agg(pid::text, ',' order by pid) from pg_stat_activity
    where state = 'idle in transaction' and datname = current_database()";

fn events() -> usize {
    if long() { 200_000 } else { 20_000 }
}

/// Duplicates, late ones, and some that PostgreSQL cannot keep.
fn simulation(poison: f64) -> impl Iterator<Item = Event> {
    let share = |share| Share::new(share).expect("a share");
    let simulation = Simulation::new(Options {
        seed: 11,
        start: SystemClock.now() - Duration::from_hours(6),
        devices: 60,
        users: 40,
        services: 20,
        faults: share(0.01),
        duplicates: share(0.02),
        late: share(0.05),
        late_by: Duration::from_mins(20),
        poison: share(poison),
    });
    simulation.take(events()).map(|Sent { event, .. }| event)
}

fn is_poison(event: &Event) -> bool {
    let Some(Payload::SensorReading(reading)) = &event.payload else { return false };
    reading.measurements.iter().any(|measurement| measurement.metric.contains('\0'))
}

/// Three processes that consume, to be ill-treated.
struct Consumers {
    programs: Vec<Cornjacket>,
    running: Vec<Process>,
    random: Random,
    database: String,
}

impl Consumers {
    async fn start(full_stack: &FullStack) -> anyhow::Result<Self> {
        let (mut programs, mut running) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let program = full_stack.cornjacket(&[])?.roles("projector,inference");
            running.push(program.start().await?);
            programs.push(program);
        }
        let database = full_stack.database.clone();
        Ok(Self { programs, running, random: Random::seeded(), database })
    }

    async fn one_of_them(&mut self) -> usize {
        // The instant is the point here, not that anything has happened by then.
        tokio::time::sleep(Duration::from_millis(self.random.within(50..400))).await;
        usize::try_from(self.random.within(0..3)).expect("three")
    }

    /// It dies, and another one takes its place.
    async fn kill(&mut self) -> anyhow::Result<()> {
        let which = self.one_of_them().await;
        self.running[which].kill9().await?;
        self.running[which] = self.programs[which].start().await?;
        Ok(())
    }

    /// It leaves in order and comes back: everybody's partitions are dealt out twice.
    async fn rebalance(&mut self) -> anyhow::Result<()> {
        let which = self.one_of_them().await;
        let next = self.programs[which].clone();
        stop(self.running.remove(which)).await?;
        self.running.insert(which, next.start().await?);
        Ok(())
    }

    /// It stands still inside a transaction until others have taken over all that it had, and wakes up then.
    async fn pause(&mut self, store: &Store) -> anyhow::Result<()> {
        let deadline = Instant::now() + DEADLINE;
        let which = loop {
            anyhow::ensure!(Instant::now() < deadline, "nobody was caught inside a transaction");
            let which = self.one_of_them().await;
            self.running[which].pause()?;
            if self.in_transaction().await? {
                break which;
            }
            self.running[which].resume()?;
        };
        let holder = format!("process {}", self.running[which].id());
        wait::until(DEADLINE, "others have taken over", async || {
            let Ok(consumers) = store.consumers.list().await else { return false };
            let mut reports = consumers.iter().filter_map(|status| status.report.as_ref());
            reports.all(|report| report.holder != holder)
        })
        .await?;
        self.running[which].resume()
    }

    /// Whether a transaction is open now and a moment later: that of the process that stands still.
    async fn in_transaction(&self) -> anyhow::Result<bool> {
        let mut looks = Vec::new();
        for _ in 0..3 {
            let psql = Program::new("psql").args(["-Atq", "-c", IN_TRANSACTION, &self.database]);
            looks.push(psql.output(DEADLINE).await?.trim().to_owned());
        }
        let pids = |look: &str| look.split(',').map(str::to_owned).collect::<Vec<_>>();
        let first = pids(&looks[0]);
        let stays = |pid: &&String| !pid.is_empty() && looks.iter().all(|look| pids(look).contains(pid));
        Ok(first.iter().any(|pid| stays(&pid)))
    }
}

/// Gives poison up, so that what waits behind it is handled, until nothing waits.
async fn give_poison_up(cornjacket: &Cornjacket) -> anyhow::Result<u64> {
    let (mut given_up, deadline) = (0, Instant::now() + DEADLINE);
    loop {
        let mut admin = cornjacket.admin().await?;
        let request = ListDeadLettersRequest { page_size: 1_000, ..ListDeadLettersRequest::default() };
        let letters = admin.list_dead_letters(request).await?.into_inner().dead_letters;
        if letters.is_empty() {
            return Ok(given_up);
        }
        for letter in letters {
            if !letter.error.is_empty() && letter.discarded.is_empty() {
                given_up += 1;
                let request = DiscardDeadLetterRequest {
                    consumer: letter.consumer,
                    topic: letter.topic,
                    partition: letter.partition,
                    offset: letter.offset,
                    reason: "PostgreSQL keeps no NUL".into(),
                };
                admin.discard_dead_letter(request).await?;
            }
        }
        anyhow::ensure!(Instant::now() < deadline, "dead letters do not leave");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_paused_and_rebalanced_consumers_leave_the_fold_of_the_log() -> anyhow::Result<()> {
    let full_stack = FullStack::shared().await?;
    let rest = full_stack.cornjacket(&[])?.roles("ingest,relay,query");
    let process = rest.start().await?;
    let store = open(&full_stack.database).await?;
    let mut consumers = Consumers::start(&full_stack).await?;
    let feeding =
        tokio::spawn(send_all(rest.clone(), simulation(0.001).collect(), Duration::from_millis(250)));
    for round in 0..45 {
        match round % 9 {
            0 => consumers.pause(&store).await?,
            4 | 8 => consumers.rebalance().await?,
            _ => consumers.kill().await?,
        }
    }
    println!("30 kills, 10 departures and 5 pauses; all sent: {}", feeding.is_finished());
    feeding.await??;

    let log = read_log(&full_stack.database).await?;
    until_read(&store, &log, DEADLINE).await?;
    let given_up = give_poison_up(&rest).await?;
    let poison = log.iter().map(|stored| stored.decode().map(|event| u64::from(is_poison(&event))));
    let poison: u64 = poison.sum::<Result<_, _>>()?;
    assert!(poison > 0 && given_up == 2 * poison, "{poison} for two consumers, {given_up} given up");
    // Operators' own events count as well.
    let log = read_log(&full_stack.database).await?;
    until_read(&store, &log, DEADLINE).await?;
    Expected::of(&log, |event| !is_poison(event))?.check(&store).await?;
    for process in consumers.running.into_iter().chain([process]) {
        stop(process).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_embedded_process_leaves_the_fold_of_the_log() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cornjacket = Cornjacket::embedded(folder.path())?;
    let mut random = Random::seeded();
    let mut process = cornjacket.start().await?;
    let feeding =
        tokio::spawn(send_all(cornjacket.clone(), simulation(0.0).collect(), Duration::from_millis(50)));
    let mut kills = 0;
    while !feeding.is_finished() || kills < 10 {
        tokio::time::sleep(Duration::from_millis(random.within(50..1_500))).await;
        process.kill9().await?;
        process = cornjacket.start().await?;
        kills += 1;
    }
    feeding.await??;
    let url = format!("sqlite://{}/cornjacket.db", folder.path().display());
    // SQLite is for one process: what it made is looked at when it has gone, and it goes when it has read everything.
    wait::until(DEADLINE, "every consumer has read the log", async || cornjacket.is_all_read().await).await?;
    stop(process).await?;
    let log = read_log(&url).await?;
    let store = open(&url).await?;
    until_read(&store, &log, Duration::from_secs(1)).await?;
    println!("{kills} kills");
    Expected::of(&log, |_| true)?.check(&store).await
}
