//! The stages of a process, which should always get on: how each is doing, and starting one anew.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cornjacket_bus::consumer::State;
use cornjacket_domain::Topic;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::shutdown::Shutdown;

/// What a stage reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The log.
    Log,
    /// These topics.
    Topics(Vec<Topic>),
    /// Something that is not ours: how far it should be, nobody knows.
    Outside,
}

/// A part of the process that should always get on.
#[derive(Debug)]
pub struct Stage {
    /// For operators; a consumer's own name.
    pub name: &'static str,
    /// What it reads.
    pub input: Input,
    state: watch::Sender<State>,
    stuck: AtomicBool,
    restarts: AtomicU64,
    start_anew: Notify,
}

impl Stage {
    fn new(name: &'static str, input: Input) -> Self {
        Self {
            name,
            input,
            state: watch::Sender::new(State::Running),
            stuck: AtomicBool::new(false),
            restarts: AtomicU64::new(0),
            start_anew: Notify::new(),
        }
    }

    /// How it is doing.
    pub fn state(&self) -> State {
        if self.stuck.load(Ordering::Relaxed) { State::Stuck } else { self.state.borrow().clone() }
    }

    /// Whether it knows why it does not get on, by its own account.
    pub fn is_excused(&self) -> bool {
        matches!(*self.state.borrow(), State::Waiting { .. } | State::Paused)
    }

    /// It does not get on: it is started anew, and called stuck until it does.
    pub fn restart(&self) {
        self.stuck.store(true, Ordering::Relaxed);
        self.restarts.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("cornjacket_stage_restarts_total", "stage" => self.name).increment(1);
        self.start_anew.notify_one();
    }

    /// It gets on.
    pub fn got_on(&self) {
        self.stuck.store(false, Ordering::Relaxed);
    }

    fn as_json(&self) -> Value {
        let state = self.state();
        json!({
            "name": self.name,
            "state": state.name(),
            "reason": state.reason(),
            "restarts": self.restarts.load(Ordering::Relaxed),
        })
    }
}

/// The stages of this process.
#[derive(Clone, Debug, Default)]
pub struct Stages(Arc<Mutex<Vec<Arc<Stage>>>>);

impl Stages {
    /// Runs what `make` makes, which tells how it is doing; anew whenever it is found stuck.
    pub fn start<F>(
        &self,
        shutdown: &Shutdown,
        name: &'static str,
        input: Input,
        make: impl Fn(watch::Sender<State>) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let stage = Arc::new(Stage::new(name, input));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(stage.clone());
        shutdown.spawn(name, async move {
            loop {
                let mut task = AbortOnDropHandle::new(tokio::spawn(make(stage.state.clone())));
                tokio::select! {
                    ended = &mut task => return Ok(ended?),
                    // What it had in hand it has not committed: dropped, it never was.
                    () = stage.start_anew.notified() => {}
                }
            }
        });
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<Stage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How the one of that name is doing.
    pub fn state_of(&self, name: &str) -> Option<State> {
        self.all().iter().find(|stage| stage.name == name).map(|stage| stage.state())
    }

    /// For operators.
    pub fn as_json(&self) -> Value {
        self.all().iter().map(|stage| stage.as_json()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_stage_that_hangs_is_dropped_and_started_anew() {
        let (stages, shutdown) = (Stages::default(), Shutdown::default());
        let starts = Arc::new(AtomicUsize::new(0));
        let (counted, (works, mut working)) = (starts.clone(), watch::channel(false));
        stages.start(&shutdown, "stage", Input::Log, move |_| {
            let (first, works) = (counted.fetch_add(1, Ordering::SeqCst) == 0, works.clone());
            async move {
                if !first {
                    works.send_replace(true);
                }
                // A handler, or a bus, that never answers.
                std::future::pending::<()>().await;
            }
        });
        let stage = stages.all().remove(0);
        assert_eq!(stage.state(), State::Running);
        tokio::task::yield_now().await;
        stage.restart();
        assert_eq!(stage.state(), State::Stuck);
        timeout(Duration::from_secs(10), working.wait_for(|works| *works))
            .await
            .expect("in time")
            .expect("runs");
        assert_eq!(starts.load(Ordering::SeqCst), 2);
        stage.got_on();
        assert_eq!(stage.state(), State::Running);
        assert_eq!(stages.as_json()[0]["restarts"], 1);
    }
}
