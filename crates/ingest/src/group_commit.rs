//! Group commit: callers that wait at the same time share a transaction.
//!
//! A batch closes when it is full or when the previous commit has returned. So a lone caller never waits for a timer,
//! and the slower the disk, the larger the batches. Where callers come together, as many as last time are waited for, but
//! never beyond two milliseconds after the last commit began: a commit has its cost however little is in it, and what a fast
//! disk spends on tiny ones everybody behind the log would miss (PostgreSQL has `commit_delay` for the same).

use std::sync::Arc;
use std::time::Duration;

use cornjacket_domain::Event;
use cornjacket_store::{Appended, EventLog};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{Instrument, Span};

/// What an event takes up in the queue beside its bytes.
const OVERHEAD_BYTES: usize = 512;

/// How much is gathered, and how much may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// A batch is full with this many events.
    pub batch_events: usize,
    /// A batch is full with this many bytes.
    pub batch_bytes: usize,
    /// Bytes of events that may wait or be under way.
    pub queue_bytes: usize,
    /// How long one commit may take before its callers are told that the store is not available.
    pub commit_timeout: Duration,
    /// From the beginning of one commit to that of the next, where callers come together; sooner once there are as many.
    pub pace: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            batch_events: 5_000,
            batch_bytes: 4 << 20,
            queue_bytes: 64 << 20,
            commit_timeout: Duration::from_secs(5),
            pace: Duration::from_millis(2),
        }
    }
}

/// The queue in front of the log.
#[derive(Clone, Debug)]
pub struct GroupCommit {
    queue: mpsc::UnboundedSender<Job>,
    /// In bytes. Bounds the queue, which itself has no bound.
    room: Arc<Semaphore>,
}

/// The queue has no room for the events: none of them is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the queue is full")]
pub struct Full;

/// The events may or may not be stored: sending them again finds out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitFailed {
    /// The store is not available. Later it may be.
    #[error("the store is not available")]
    Outage,
    /// The store failed in a way that trying again does not mend. The log says how.
    #[error("the store failed")]
    Defect,
}

/// The answer to events that were taken; comes after their commit.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Result<Vec<Appended>, CommitFailed>>);

impl Pending {
    /// What became of each event, in order.
    pub async fn outcome(self) -> Result<Vec<Appended>, CommitFailed> {
        // The task ends only with the process, or by a panic in it.
        self.0.await.unwrap_or(Err(CommitFailed::Outage))
    }
}

#[derive(Debug)]
struct Job {
    events: Vec<Event>,
    bytes: usize,
    done: oneshot::Sender<Result<Vec<Appended>, CommitFailed>>,
    /// Given back when the job is answered.
    room: OwnedSemaphorePermit,
    /// The call that brought it.
    cause: Span,
}

impl GroupCommit {
    /// Starts the task that commits. It ends, with everything committed, when the last handle is dropped.
    pub fn spawn(log: Arc<dyn EventLog>, options: Options) -> (Self, JoinHandle<()>) {
        let (queue, jobs) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(options.queue_bytes));
        let committer = Committer { log, options, jobs, next: None, last: (Instant::now(), 1) };
        (Self { queue, room }, tokio::spawn(committer.run()))
    }

    /// Takes all events or none.
    pub fn try_submit(&self, events: Vec<Event>) -> Result<Pending, Full> {
        let bytes = size(&events);
        let room = Arc::clone(&self.room).try_acquire_many_owned(permits(bytes)).map_err(|_| Full)?;
        Ok(self.enqueue(events, bytes, room))
    }

    /// Takes the events as soon as there is room.
    pub async fn submit(&self, events: Vec<Event>) -> Pending {
        let bytes = size(&events);
        let room = Arc::clone(&self.room).acquire_many_owned(permits(bytes)).await;
        self.enqueue(events, bytes, room.expect("the semaphore is never closed"))
    }

    fn enqueue(&self, events: Vec<Event>, bytes: usize, room: OwnedSemaphorePermit) -> Pending {
        let (done, pending) = oneshot::channel();
        let job = Job { events, bytes, done, room, cause: Span::current() };
        if self.queue.send(job).is_err() {
            // The task panicked. The job is dropped, and with it `done`: the caller hears of an outage.
            tracing::error!("the group commit is gone; events are refused");
        }
        Pending(pending)
    }
}

fn size(events: &[Event]) -> usize {
    events.iter().map(|event| event.encoded().len() + OVERHEAD_BYTES).sum()
}

fn permits(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// What goes into one commit.
struct Gathered {
    jobs: Vec<Job>,
    events: usize,
    bytes: usize,
}

impl Gathered {
    fn new(first: Job) -> Self {
        let (events, bytes) = (first.events.len(), first.bytes);
        Self { jobs: vec![first], events, bytes }
    }

    /// Takes a job, or gives it back when it does not fit.
    fn take(&mut self, job: Job, most: &Options) -> Option<Job> {
        let (events, bytes) = (self.events + job.events.len(), self.bytes + job.bytes);
        if events > most.batch_events || bytes > most.batch_bytes {
            return Some(job);
        }
        (self.events, self.bytes) = (events, bytes);
        self.jobs.push(job);
        None
    }
}

struct Committer {
    log: Arc<dyn EventLog>,
    options: Options,
    jobs: mpsc::UnboundedReceiver<Job>,
    /// Received, but no longer fitting into the last batch.
    next: Option<Job>,
    /// When the last commit began, and for how many callers.
    last: (Instant, usize),
}

impl Committer {
    async fn run(mut self) {
        while let Some(batch) = self.gather().await {
            let span = tracing::error_span!(
                "commit",
                otel.name = "append to the log",
                events = tracing::field::Empty
            );
            for job in &batch {
                span.follows_from(&job.cause);
            }
            let (events, waiting) = merge(batch);
            span.record("events", events.len());
            metrics::histogram!("cornjacket_ingest_commit_events").record(count(events.len()));
            let result = self.commit(&events).instrument(span).await;
            answer(waiting, result);
        }
    }

    /// Waits for a job, then takes whatever else is waiting and fits, and waits for as many as last time.
    async fn gather(&mut self) -> Option<Vec<Job>> {
        let first = match self.next.take() {
            Some(job) => job,
            None => self.jobs.recv().await?,
        };
        let (began, together) = self.last;
        let mut batch = Gathered::new(first);
        while self.next.is_none() {
            let job = match self.jobs.try_recv() {
                Ok(job) => Some(job),
                Err(_) if batch.jobs.len() >= together => None,
                Err(_) => timeout_at(began + self.options.pace, self.jobs.recv()).await.ok().flatten(),
            };
            let Some(job) = job else { break };
            self.next = batch.take(job, &self.options);
        }
        self.last = (Instant::now(), batch.jobs.len());
        Some(batch.jobs)
    }

    /// Tries twice: a connection that died while idle is noticed by the first try. The ids keep the second from
    /// storing anything twice.
    async fn commit(&mut self, events: &[Event]) -> Result<Vec<Appended>, CommitFailed> {
        let twice = async {
            match self.log.append(events).await {
                Err(error) if error.is_outage() => self.log.append(events).await,
                result => result,
            }
        };
        match timeout(self.options.commit_timeout, twice).await {
            Ok(Ok(appended)) => Ok(appended),
            Ok(Err(error)) => {
                tracing::error!(%error, events = events.len(), "could not commit");
                Err(if error.is_outage() { CommitFailed::Outage } else { CommitFailed::Defect })
            }
            Err(_) => {
                tracing::error!(timeout = ?self.options.commit_timeout, events = events.len(), "commit timed out");
                self.refuse_waiting();
                Err(CommitFailed::Outage)
            }
        }
    }

    /// Those who have waited behind a commit that hung would wait as long again for the next.
    fn refuse_waiting(&mut self) {
        let waiting = std::iter::from_fn(|| self.next.take().or_else(|| self.jobs.try_recv().ok()));
        for job in waiting {
            // A caller that no longer waits has hung up.
            drop(job.done.send(Err(CommitFailed::Outage)));
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "a batch has far fewer than 2^52 events")]
const fn count(events: usize) -> f64 {
    events as f64
}

/// Who waits for how many of the outcomes; their room in the queue is still held.
type Waiting = Vec<(usize, oneshot::Sender<Result<Vec<Appended>, CommitFailed>>, OwnedSemaphorePermit)>;

fn merge(batch: Vec<Job>) -> (Vec<Event>, Waiting) {
    let mut events = Vec::with_capacity(batch.iter().map(|job| job.events.len()).sum());
    let waiting = batch
        .into_iter()
        .map(|mut job| {
            let count = job.events.len();
            events.append(&mut job.events);
            (count, job.done, job.room)
        })
        .collect();
    (events, waiting)
}

fn answer(waiting: Waiting, result: Result<Vec<Appended>, CommitFailed>) {
    let mut outcomes = result.map(Vec::into_iter);
    for (count, done, _still_held) in waiting {
        let answer = match &mut outcomes {
            Ok(outcomes) => Ok(outcomes.take(count).collect()),
            Err(failed) => Err(*failed),
        };
        // A caller that no longer waits has hung up; its events are stored all the same.
        drop(done.send(answer));
    }
}

#[cfg(test)]
mod tests;
