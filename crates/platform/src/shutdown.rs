//! Stopping in two stages: take nothing in and finish what is under way, then cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What every task watches and is counted by.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Cancelled at the first signal: stop taking in.
    pub stop: CancellationToken,
    /// Tasks that have something to finish.
    pub tasks: TaskTracker,
    failed: Arc<AtomicBool>,
}

impl Shutdown {
    /// Runs a part of the process. When it ends in an error or a panic the process stops, and whoever watches over it
    /// starts it anew: nothing stops silently.
    pub fn spawn(&self, name: &'static str, part: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        let shutdown = self.clone();
        self.tasks.spawn(async move {
            let error = match tokio::spawn(part).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => format!("{error:#}"),
                Err(error) => error.to_string(),
            };
            tracing::error!(part = name, error, "a part of this process failed: stopping");
            shutdown.failed.store(true, Ordering::SeqCst);
            shutdown.stop.cancel();
        });
    }

    /// Waits for a signal or a failure, then for the tasks, but no longer than `drain` or until a second signal.
    pub async fn run(self, mut signals: Signals, drain: Duration) -> anyhow::Result<()> {
        tokio::select! {
            () = signals.next() => {}
            () = self.stop.cancelled() => {}
        }
        tracing::info!(?drain, "stopping: finishing what is under way");
        self.stop.cancel();
        self.tasks.close();
        tokio::select! {
            () = self.tasks.wait() => tracing::info!("stopped"),
            () = tokio::time::sleep(drain) => {
                tracing::warn!(left = self.tasks.len(), "not everything finished in time; cutting");
            }
            () = signals.next() => tracing::warn!("second signal; cutting"),
        }
        anyhow::ensure!(
            !self.failed.load(Ordering::SeqCst),
            "a part of this process failed; the log says why"
        );
        Ok(())
    }
}

/// The signals to stop.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From now on signals do not end the process.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Returns at the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
