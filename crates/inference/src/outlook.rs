//! Looking ahead: series of the settings are forecast every so often, and a limit that is expected to be crossed is an event.
//!
//! One process looks ahead at a time: the lease saves work, and what two of them do at once is kept once, since an outlook is written
//! only over the one that it follows. With it goes its event, through the outbox of anomalies: a crash between the two loses and
//! repeats nothing. Series wait in a queue for each rule and are taken in turn, one forecast at a time, with a rest after
//! each for as long as it took: at most half a processor looks ahead. Those that still wait when their rule is due again come first
//! then, and are said to be behind.

mod event;
mod rule;

use std::collections::{HashMap, VecDeque};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use cornjacket_bus::consumer::State;
use cornjacket_domain::{Clock, SeriesKey, Timestamp};
use cornjacket_store::{
    Leases, ListedSeries, Next, Outlook, Outlooks, SeriesFilter, SeriesId, Snapshots, StoreError, holder,
};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

pub use self::rule::Rule;

use self::event::Expected;
use crate::forecasters::{Limit, Prediction, predict};
use crate::history::{History, NoHistory, StepValue, Wanted};
use crate::patience::{PATIENCE, patient};

/// What operators know it by, and the name of its lease.
pub const NAME: &str = "outlook";
/// For how long another process waits for one that is gone.
const LEASE: Duration = Duration::from_secs(30);
/// The longest rest after a series: the lease must outlast it and the questions before it.
const LONGEST_REST: Duration = Duration::from_secs(5);
/// How often to look whether a rule is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const BACK_OFF: Duration = Duration::from_millis(500);
/// Series that are listed in one go.
const AT_ONCE: u32 = 1_000;
/// For which probabilities forecasts have intervals: what is between them is interpolated.
const LEVELS: [f64; 4] = [0.5, 0.8, 0.9, 0.95];

/// What it works with.
#[derive(Clone, Debug)]
pub struct Ports {
    /// Who looks ahead.
    pub leases: Arc<dyn Leases>,
    /// What series were.
    pub snapshots: Arc<dyn Snapshots>,
    /// What was expected of them.
    pub outlooks: Arc<dyn Outlooks>,
    /// Tells what is due, and how old samples are.
    pub clock: Arc<dyn Clock>,
    /// Samples that are older are not looked at.
    pub keep: Duration,
}

/// Looks ahead.
#[derive(Debug)]
pub struct Lookout {
    ports: Ports,
    watches: Vec<Watch>,
    state: watch::Sender<State>,
    /// Of the lease, while it is held.
    generation: Option<i64>,
}

/// A rule, and what is to be looked at for it.
#[derive(Debug)]
struct Watch {
    rule: Arc<Rule>,
    /// When to look again which series have new samples; at once when it was never looked.
    due: Option<Timestamp>,
    waiting: VecDeque<Waiting>,
    /// How many series had not had their turn when the rule was due again.
    behind: usize,
}

/// A series that has had samples since it was looked at.
#[derive(Clone, Debug)]
struct Waiting {
    series: SeriesId,
    key: SeriesKey,
    before: Option<Outlook>,
}

impl Lookout {
    /// By these rules; tells in `state` how it is doing.
    pub fn new(ports: Ports, rules: &[Arc<Rule>], state: watch::Sender<State>) -> Self {
        let watch =
            |rule: &Arc<Rule>| Watch { rule: rule.clone(), due: None, waiting: VecDeque::new(), behind: 0 };
        Self { ports, watches: rules.iter().map(watch).collect(), state, generation: None }
    }

    /// Works or waits until `stop`. Trouble is waited for: recovery needs nobody.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = stop => {}
            () = self.work_or_wait() => {}
        }
        self.give_way().await;
    }

    /// Whoever is next, here or elsewhere, need not wait for the lease to end.
    async fn give_way(&mut self) {
        if let Some(generation) = self.generation.take()
            && let Err(error) = patient(self.ports.leases.release(NAME, generation)).await
        {
            tracing::warn!(%error, "the lease of the outlook was not given back; it ends by itself");
        }
    }

    async fn work_or_wait(&mut self) {
        let holder = holder();
        loop {
            match patient(self.ports.leases.claim(NAME, &holder, LEASE)).await {
                Ok(Some(generation)) => match self.work(generation).await {
                    Ok(()) => self.waits("another process has taken over".to_owned()),
                    Err(error) => {
                        self.waits(error.to_string());
                        self.give_way().await;
                        self.wait_for_the_store(&error).await;
                    }
                },
                Ok(None) => {
                    self.waits("another process looks ahead".to_owned());
                    sleep(LEASE / 4).await;
                }
                Err(error) => self.wait_for_the_store(&error).await,
            }
        }
    }

    fn waits(&self, reason: String) {
        self.state.send_replace(State::Waiting { reason });
    }

    async fn wait_for_the_store(&self, error: &StoreError) {
        tracing::warn!(%error, "looking ahead waits for the store; trying again");
        self.waits(error.to_string());
        sleep(BACK_OFF).await;
    }

    /// Until somebody else has the lease. It is kept before each series, since many rules take longer than it lasts.
    async fn work(&mut self, generation: i64) -> Result<(), StoreError> {
        self.generation = Some(generation);
        loop {
            let mut looked = false;
            for rule in 0..self.watches.len() {
                if !patient(self.ports.leases.keep(NAME, generation, LEASE)).await? {
                    self.generation = None;
                    return Ok(());
                }
                let began = Instant::now();
                if self.take_turn(rule).await? {
                    looked = true;
                    sleep(began.elapsed().min(LONGEST_REST)).await;
                }
            }
            self.tell();
            if !looked {
                sleep(LOOK_EVERY).await;
            }
        }
    }

    /// One series of a rule, if any is waiting: whether there was one.
    async fn take_turn(&mut self, rule: usize) -> Result<bool, StoreError> {
        let watch = &mut self.watches[rule];
        watch.list_when_due(&self.ports).await?;
        let Some(next) = watch.waiting.pop_front() else { return Ok(false) };
        if let Err(error) = look(&self.ports, &watch.rule, &next).await {
            // One that takes the store too long does not keep the others waiting.
            watch.waiting.push_back(next);
            return Err(error);
        }
        Ok(true)
    }

    fn tell(&self) {
        let behind = self.watches.iter().filter(|watch| watch.behind > 0);
        let behind: Vec<String> =
            behind.map(|watch| format!("{}: {} series", watch.rule.name, watch.behind)).collect();
        if behind.is_empty() {
            self.state.send_replace(State::Running);
        } else {
            self.waits(format!("forecasts take longer than every_seconds; behind are {}", behind.join(", ")));
        }
    }
}

impl Watch {
    /// Queues the series that have had samples since they were looked at, when it is time for that.
    async fn list_when_due(&mut self, ports: &Ports) -> Result<(), StoreError> {
        let now = ports.clock.now();
        if self.due.is_some_and(|due| now < due) {
            return Ok(());
        }
        // Those that still wait come first, as they are now.
        let places = self.waiting.iter().zip(0..);
        let places: HashMap<SeriesId, usize> =
            places.map(|(waiting, place)| (waiting.series, place)).collect();
        let (mut first, mut others) = (VecDeque::new(), VecDeque::new());
        let mut after = None;
        loop {
            let page = patient(self.page(ports, now, after)).await?;
            after = page.last;
            for one in page.waiting {
                let waited = places.contains_key(&one.series);
                if waited { first.push_back(one) } else { others.push_back(one) }
            }
            if after.is_none() {
                break;
            }
        }
        first.make_contiguous().sort_by_key(|one: &Waiting| places.get(&one.series));
        self.behind = first.len();
        first.append(&mut others);
        (self.waiting, self.due) = (first, Some(now + self.rule.every));
        #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
        metrics::gauge!("cornjacket_outlook_behind", "rule" => self.rule.name.clone())
            .set(self.behind as f64);
        Ok(())
    }

    async fn page(&self, ports: &Ports, now: Timestamp, after: Option<SeriesId>) -> Result<Page, StoreError> {
        let filter = SeriesFilter { subject: None, since: now - ports.keep, after, limit: AT_ONCE };
        let listed = ports.snapshots.begin(PATIENCE).await?.list_series(&filter).await?;
        let last = (listed.len() == AT_ONCE as usize).then(|| listed.last().map(|last| last.id)).flatten();
        let about: Vec<ListedSeries> =
            listed.into_iter().filter(|listed| self.rule.is_about(&listed.key)).collect();
        let ids: Vec<SeriesId> = about.iter().map(|listed| listed.id).collect();
        let mut known = ports.outlooks.load(&self.rule.name, &ids).await?;
        let waiting = about.into_iter().filter_map(|ListedSeries { id, key, last, .. }| {
            let before = known.remove(&id);
            let is_new = before.is_none_or(|before| before.last < (last.time, last.position));
            is_new.then_some(Waiting { series: id, key, before })
        });
        Ok(Page { waiting: waiting.collect(), last })
    }
}

/// Series of a page of all of them.
struct Page {
    waiting: Vec<Waiting>,
    /// The last one, where there may be more.
    last: Option<SeriesId>,
}

/// Forecasts a series, and keeps what is expected of it.
async fn look(ports: &Ports, rule: &Arc<Rule>, waiting: &Waiting) -> Result<(), StoreError> {
    let Waiting { series, key, before } = waiting;
    let wanted = Wanted {
        series: *series,
        steps: StepValue::of(key),
        oldest: ports.clock.now() - ports.keep,
        horizon: rule.horizon,
        step: rule.step,
    };
    let read = async { History::read(ports.snapshots.begin(PATIENCE).await?.as_mut(), &wanted).await };
    let history = match patient(read).await {
        Ok(history) => history,
        Err(NoHistory::Store(error)) => return Err(error),
        Err(NoHistory::Refused(why)) => {
            tell_of(rule, key, "refused", &why);
            return Ok(());
        }
    };
    // A replica may be behind what was seen before.
    if before.is_some_and(|before| before.last >= (history.last.time, history.last.position)) {
        return Ok(());
    }
    let fitted = spawn_blocking(move || predict(&history, &LEVELS).map(|prediction| (history, prediction)));
    let (history, prediction) = match fitted.await {
        Ok(Ok(fitted)) => fitted,
        Ok(Err(why)) => {
            tell_of(rule, key, "refused", &why);
            return Ok(());
        }
        Err(error) => {
            tracing::error!(%error, rule = rule.name, subject = key.subject, "a forecast did not end well");
            tell_of(rule, key, "failed", &error);
            return Ok(());
        }
    };
    let (outlook, events) = judge(rule, key, *before, &history, &prediction);
    let next = Next { rule: &rule.name, series: *series, before: *before, outlook, events: &events };
    // Otherwise another process has looked at it meanwhile, and said what there was to say.
    let outcome = if patient(ports.outlooks.follow(&next)).await? { "made" } else { "overtaken" };
    count(rule, outcome);
    Ok(())
}

/// What a forecast makes of what was expected, and the events of what begins.
fn judge(
    rule: &Rule,
    key: &SeriesKey,
    before: Option<Outlook>,
    history: &History,
    prediction: &Prediction,
) -> (Outlook, Vec<Vec<u8>>) {
    let mut events = Vec::new();
    let mut judge = |limit, known| {
        let (episode, breach) = rule.judge(limit, known, prediction, &history.last);
        if let (Some(episode), Some(breach)) = (episode, breach) {
            let expected = Expected { key, rule, limit, episode, breach, history, prediction };
            events.push(expected.encode());
        }
        episode
    };
    let (up, down) = (before.and_then(|before| before.up), before.and_then(|before| before.down));
    let up = rule.upper.and_then(|limit| judge(Limit::Upper(limit), up));
    let down = rule.lower.and_then(|limit| judge(Limit::Lower(limit), down));
    let last = (history.last.time, history.last.position);
    (Outlook { last, up, down }, events)
}

fn tell_of(rule: &Rule, key: &SeriesKey, outcome: &'static str, why: &dyn std::fmt::Display) {
    tracing::debug!(rule = rule.name, subject = key.subject, metric = key.metric, %why, "no forecast");
    count(rule, outcome);
}

fn count(rule: &Rule, outcome: &'static str) {
    metrics::counter!("cornjacket_outlooks_total", "rule" => rule.name.clone(), "outcome" => outcome)
        .increment(1);
}

#[cfg(test)]
mod tests;
