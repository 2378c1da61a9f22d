//! From messages to the log, or to the letters.

use cornjacket_domain::{Caller, Event, Scope};
use cornjacket_proto::status::Failure;
use cornjacket_store::Appended;
use tokio::time::sleep;

use super::letters::{Letters, NotKept, Rejected};
use super::message::{self, Message, Refused};
use super::status::Status;
use super::{Topics, delays, next};
use crate::Acceptor;
use crate::accept::WITHOUT_PAUSE;
use crate::group_commit::CommitFailed;

/// How often an event is tried alone that the store fails at, before it is taken to be the event's fault.
const TRIES: u32 = 3;

/// Makes events of messages and has them stored.
#[derive(Debug)]
pub(super) struct Intake {
    acceptor: Acceptor,
    topics: Topics,
    letters: Letters,
    status: Status,
}

impl Intake {
    pub(super) fn new(acceptor: Acceptor, topics: Topics, letters: Letters, status: Status) -> Self {
        Self { acceptor, topics, letters, status }
    }

    /// Whether somebody waits for an answer, to whom messages should give way.
    pub(super) fn gives_way(&self) -> bool {
        self.acceptor.has_callers()
    }

    /// Keeps what somebody else could not take.
    pub(super) async fn keep(&self, rejected: Rejected) -> Result<(), NotKept> {
        self.letters.keep(rejected).await
    }

    /// Does what operators want of the letters, for ever.
    pub(super) async fn attend(&self) {
        self.letters.attend(self).await;
    }

    /// Returns when each of the messages is stored, is a letter, or is to be passed over: when they may be acknowledged.
    pub(super) async fn take(&self, messages: Vec<Message>) {
        let (mut events, mut rejected) = (Vec::with_capacity(messages.len()), Vec::new());
        for (index, message) in messages.into_iter().enumerate() {
            if index % WITHOUT_PAUSE == WITHOUT_PAUSE - 1 {
                tokio::task::yield_now().await;
            }
            match self.check(&message, String::clone).await {
                Ok(event) => events.push((event, message)),
                Err(Problem { reason: "retained", .. }) => passed_over("retained"),
                Err(problem) => rejected.push(problem.of(message)),
            }
        }
        rejected.extend(self.store(events).await);
        if !rejected.is_empty() {
            self.letters.park(&rejected).await;
        }
    }

    /// Stores the event of a message that was rejected before, `id` being its id when it says none: why it is rejected again,
    /// or that nobody knows yet.
    pub(super) async fn try_again(
        &self,
        message: &Message,
        id: String,
    ) -> Result<Option<String>, CommitFailed> {
        let event = match self.check(message, |_| id).await {
            Ok(event) => event,
            Err(problem) => return Ok(Some(problem.error)),
        };
        match self.acceptor.store(std::slice::from_ref(&event)).await?.first() {
            Some(Appended::Conflict) => Ok(Some(conflict(&event).error)),
            Some(Appended::Stored { .. } | Appended::Duplicate { .. }) => Ok(None),
            None => Err(CommitFailed::Defect),
        }
    }

    /// The event of a message, proven valid. `id` makes one of none.
    async fn check(&self, message: &Message, id: impl FnOnce(&String) -> String) -> Result<Event, Problem> {
        let mut event = message::event_of(message, &self.topics)?;
        if event.id.is_empty() {
            event.id = id(&event.id);
        }
        // Whoever has many subjects has them below its own name, and one quota.
        let device = event.subject.split('/').next().unwrap_or_default();
        let caller = Caller::new(device, &[Scope::Ingest]);
        Ok(self.acceptor.check(&caller, event).await?)
    }

    /// Stores events in order: a batch is stored before the next is begun. Returns what the store would not have.
    async fn store(&self, events: Vec<(Event, Message)>) -> Vec<Rejected> {
        let (events, messages): (Vec<_>, Vec<_>) = events.into_iter().unzip();
        let (mut rejected, mut done, mut most, mut tries) = (Vec::new(), 0, usize::MAX, 0);
        let mut delays = delays();
        while done < events.len() {
            let batch = &events[done..events.len().min(done.saturating_add(most))];
            match self.acceptor.store(batch).await {
                Ok(appended) => {
                    let failed = appended.iter().enumerate().filter(|(_, one)| **one == Appended::Conflict);
                    let failed = failed.map(|(at, _)| conflict(&batch[at]).of(messages[done + at].clone()));
                    rejected.extend(failed);
                    (done, tries) = (done + appended.len().max(1), 0);
                    self.status.store(None);
                }
                // One by one, the one that the store fails at shows itself.
                Err(CommitFailed::Defect) if batch.len() > 1 => most = 1,
                Err(failed @ CommitFailed::Defect) if tries == TRIES => {
                    rejected.push(
                        Problem { reason: "store", error: failed.to_string() }.of(messages[done].clone()),
                    );
                    (done, tries) = (done + 1, 0);
                }
                Err(failed) => {
                    tries += u32::from(failed == CommitFailed::Defect);
                    self.status.store(Some(failed.to_string()));
                    sleep(next(&mut delays)).await;
                }
            }
        }
        rejected
    }
}

/// Why a message becomes no event.
#[derive(Debug)]
struct Problem {
    /// For counting.
    reason: &'static str,
    /// For operators.
    error: String,
}

impl Problem {
    fn of(self, message: Message) -> Rejected {
        metrics::counter!("cornjacket_mqtt_refused_total", "reason" => self.reason).increment(1);
        Rejected { message, error: self.error }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        Self { reason: refused.reason(), error: refused.to_string() }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Self { reason: "event", error: failure.message().to_owned() }
    }
}

fn conflict(event: &Event) -> Problem {
    let error = format!("id {:?} of source {:?} is taken by other content", event.id(), event.source());
    Problem { reason: "conflict", error }
}

/// Counts a message that is acknowledged and no more.
pub(super) fn passed_over(reason: &'static str) {
    metrics::counter!("cornjacket_mqtt_passed_over_total", "reason" => reason).increment(1);
}
