//! `Backtest`: what a model would have found in what is stored, and how that differs from what was sent.
//!
//! A step goes over some series, one after the other: reads one in a snapshot of its own, runs the model over it on a thread that
//! may block, and lets both go. Nobody is kept from anything for longer than one series takes. Steps are taken as the caller takes
//! their messages, and whoever hangs up ends it: the thread asks now and then whether anybody still waits.

mod asked;
mod tally;

use std::time::Duration;

use cornjacket_domain::{Caller, RollupStep, SeriesKey, Shard, Timestamp};
use cornjacket_proto::admin::{BacktestFinding, BacktestRequest, BacktestResponse, BacktestResult};
use cornjacket_proto::deadline::time_left;
use cornjacket_proto::status::Failure;
use cornjacket_store::{Range, SeriesFilter, SeriesId, TimeRange};
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::time::Instant;
use tonic::{Request, Status};

use self::asked::{Asked, Named};
use self::tally::Tally;
use super::AdminRpc;
use crate::replays::{self, Asker, ReplayQuestion};
use crate::rpc::deadline::passed;
use crate::rpc::list_events::time;
use crate::rpc::there::missing;
use crate::rpc::{invalid, store_failed};

pub(super) type Progresses = BoxStream<'static, Result<BacktestResponse, Status>>;

/// Samples of one series, at most.
const MOST_SAMPLES: usize = 2_000_000;
/// Series that are listed at once.
const PAGE: u32 = 1_000;
/// After so long the caller hears how far it is.
const STEP: Duration = Duration::from_millis(500);
/// No statement takes longer.
const STATEMENT: Duration = Duration::from_mins(1);
/// How long a call without a deadline of its own may take.
const UNHURRIED: Duration = Duration::from_hours(24);
const DEFAULT: u32 = 100;
const MOST: u32 = 10_000;

pub(super) async fn backtest(
    rpc: &AdminRpc,
    request: Request<BacktestRequest>,
) -> Result<Progresses, Failure> {
    let caller = Caller::of(request.extensions())?;
    caller.authorize_states()?;
    let deadline = Instant::now() + time_left(request.metadata()).unwrap_or(UNHURRIED);
    let request = request.into_inner();
    let oldest = RollupStep::Hour.bucket_of(rpc.clock.now() - rpc.keep_samples);
    let range = range(&request, oldest)?;
    let room = match u32::try_from(request.limit) {
        Ok(0) => DEFAULT,
        Ok(limit) => limit.min(MOST),
        Err(_) => return Err(invalid("limit", "must not be negative", "OUT_OF_RANGE")),
    };
    let asked = Asked::of(rpc, &caller, &request, oldest).await?;
    let series = series(rpc, &caller, &asked, range.start, deadline).await?;
    let tally = Tally::new(room as usize, asked.names.clone());
    let backtest = Backtest {
        rpc: rpc.clone(),
        asked,
        range,
        oldest,
        deadline,
        count: series.len() as u64,
        left: series.into_iter(),
        tally,
        asker: Asker::default(),
    };
    Ok(backtest.steps().boxed())
}

fn range(request: &BacktestRequest, oldest: Timestamp) -> Result<TimeRange, Failure> {
    let start = time("start_time", request.start_time.as_ref())?.unwrap_or(oldest);
    let end = time("end_time", request.end_time.as_ref())?.unwrap_or(Timestamp::LAST);
    if start >= end {
        return Err(invalid("start_time", "must be before end_time", "OUT_OF_RANGE"));
    }
    Ok(TimeRange { start: start.max(oldest), end })
}

/// The series that the caller may see and that are asked for.
async fn series(
    rpc: &AdminRpc,
    caller: &Caller,
    asked: &Asked,
    since: Timestamp,
    deadline: Instant,
) -> Result<Vec<(SeriesId, SeriesKey)>, Failure> {
    let (mut series, mut after, mut unseen) = (Vec::new(), None, asked.named());
    loop {
        let within = deadline.saturating_duration_since(Instant::now()).min(STATEMENT);
        let snapshot = rpc.snapshots.begin(within).await;
        let mut snapshot = snapshot.map_err(|error| store_failed(&error))?;
        let filter = SeriesFilter { subject: None, since, after, limit: PAGE };
        let page = snapshot.list_series(&filter).await.map_err(|error| store_failed(&error))?;
        let is_last = page.len() < PAGE as usize;
        after = page.last().map(|last| last.id);
        let visible = page.into_iter().filter(|listed| caller.authorize_subject(&listed.key.subject).is_ok());
        for listed in visible {
            unseen.retain(|named| !named.is_of(&listed.key));
            if asked.watches(&listed.key) {
                series.push((listed.id, listed.key));
            }
        }
        match unseen.first() {
            _ if !is_last => {}
            None => return Ok(series),
            Some(Named { field, name, .. }) => {
                let problem = format!("there is no series of {name:?} that has samples from the start on");
                return Err(missing(field, &problem));
            }
        }
    }
}

struct Backtest {
    rpc: AdminRpc,
    asked: Asked,
    range: TimeRange,
    oldest: Timestamp,
    deadline: Instant,
    count: u64,
    left: std::vec::IntoIter<(SeriesId, SeriesKey)>,
    tally: Tally,
    /// Goes with the stream.
    asker: Asker,
}

impl Backtest {
    fn steps(self) -> impl futures::Stream<Item = Result<BacktestResponse, Status>> {
        futures::stream::unfold(Some(self), |backtest| async move {
            let mut backtest = backtest?;
            match backtest.step().await {
                Ok(told) if told.result.is_some() => Some((Ok(told), None)),
                Ok(told) => Some((Ok(told), Some(backtest))),
                Err(failure) => Some((Err(failure.into()), None)),
            }
        })
    }

    async fn step(&mut self) -> Result<BacktestResponse, Failure> {
        let until = Instant::now() + STEP;
        while Instant::now() < until
            && let Some((id, key)) = self.left.next()
        {
            self.go_over(id, key).await?;
        }
        let left = self.left.len() as u64;
        // Before the result, which takes the tally.
        let samples = self.tally.samples;
        let result = if left == 0 { Some(self.result().await?) } else { None };
        Ok(BacktestResponse {
            series: self.count,
            series_done: self.count - left,
            samples,
            found: result.as_ref().map_or(self.tally.found, |result| result.found),
            result,
        })
    }

    async fn go_over(&mut self, series: SeriesId, key: SeriesKey) -> Result<(), Failure> {
        let (rpc, deadline) = (&self.rpc, self.deadline);
        let question = ReplayQuestion {
            series,
            key: key.clone(),
            shard: Shard::of(&key, rpc.partitions),
            model: self.asked.model.clone(),
            as_it_ran: self.asked.is_registered,
            range: self.range,
            oldest: self.oldest,
            most: MOST_SAMPLES,
            compared: self.asked.compared.clone(),
        };
        let turn = rpc.runs.turn(deadline).await?;
        let reading = rpc.turns.next(deadline, rpc.log.watch()).await?;
        let within = deadline.saturating_duration_since(Instant::now()).min(STATEMENT);
        let mut snapshot = rpc.snapshots.begin(within).await.map_err(|error| store_failed(&error))?;
        let replay = rpc.replays.prepare(snapshot.as_mut(), question).await;
        let replay = replay.map_err(|why| replays::refused(why, self.asked.narrower(), &key))?;
        drop((snapshot, reading));
        let (waits, tally) = (self.asker.until(deadline), std::mem::take(&mut self.tally));
        let tally = turn.run(move || tally.with(key, replay, &waits)).await?;
        self.tally = tally.ok_or_else(passed)?;
        Ok(())
    }

    async fn result(&mut self) -> Result<BacktestResult, Failure> {
        let asked = &self.asked;
        let mut result = std::mem::take(&mut self.tally).into_result();
        if asked.is_registered {
            let examples = result.difference.iter_mut().flat_map(|found| &mut found.only_found_examples);
            for finding in result.findings.iter_mut().chain(examples) {
                self.add_cause(finding).await?;
            }
        }
        let draft = &asked.model.draft;
        result.model.clone_from(&draft.name);
        result.version = asked.model.version;
        result.detector.clone_from(&draft.detector);
        result.detector_version.clone_from(&asked.code);
        result.notes.clone_from(&asked.notes);
        if let Some(difference) = &mut result.difference {
            difference.compared = asked.compared_names();
        }
        Ok(result)
    }

    /// Adds the event that the sample came with, and with it the anomaly's id; not when the log no longer has it.
    async fn add_cause(&self, finding: &mut BacktestFinding) -> Result<(), Failure> {
        let (position, Some(anomaly)) = (finding.position, &mut finding.anomaly) else { return Ok(()) };
        let range = Range { until: position, ..Range::after(position - 1, 1) };
        let read = self.rpc.log.read(&range).await.map_err(|error| store_failed(&error))?;
        let Some(stored) = read.into_iter().next() else { return Ok(()) };
        let cause = crate::rpc::decode(&stored)?;
        (anomaly.cause_source, anomaly.cause_id) = (cause.source, cause.id);
        finding.event_id = self.rpc.replays.event_id(anomaly, &self.asked.model.draft.parameters);
        Ok(())
    }
}
