//! `with-servers COMMAND [ARGUMENT]…`: runs a command while a PostgreSQL and a Kafka run for it.
//!
//! The command finds them in `CORNJACKET_TEST_POSTGRES` and `CORNJACKET_TEST_KAFKA`; one that is set already
//! is not started. SIGINT and SIGTERM end the command first, with all that it started, then the servers. The
//! exit code is the command's. Killed with SIGKILL it takes the servers and the command along, but not the
//! command's own children.

use std::future::Future;
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use anyhow::Context;
use cornjacket_testkit::shared::{KAFKA_VARIABLE, POSTGRES_VARIABLE};
use cornjacket_testkit::{Kafka, Postgres, Process, Program, Signal};
use tokio::select;
use tokio::signal::unix::{SignalKind, signal};

/// What a command may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(10);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    run().await.unwrap_or_else(|error| {
        eprintln!("with-servers: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run() -> anyhow::Result<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let command = Program::new(arguments.next().context("usage: with-servers COMMAND [ARGUMENT]…")?);
    let command = command.args(arguments);
    let mut interrupted = std::pin::pin!(interruption()?);
    let mut servers = select! {
        servers = Servers::start() => servers?,
        signal = &mut interrupted => return Ok(killed_by(signal)),
    };
    let mut process = servers.announce(command).spawn()?;
    let code = select! {
        status = process.wait(Duration::MAX) => exit_code(status?),
        signal = &mut interrupted => end(&mut process, signal).await?,
    };
    drop(process);
    servers.stop().await?;
    Ok(code)
}

#[derive(Default)]
struct Servers {
    postgres: Option<Postgres>,
    kafka: Option<Kafka>,
}

impl Servers {
    /// Both at once: each waits more than it works.
    async fn start() -> anyhow::Result<Self> {
        let (postgres, kafka) = tokio::try_join!(
            unless_set(POSTGRES_VARIABLE, Postgres::start()),
            unless_set(KAFKA_VARIABLE, Kafka::start())
        )?;
        Ok(Self { postgres, kafka })
    }

    /// Tells the command, and whoever watches, where they are.
    fn announce(&self, command: Program) -> Program {
        let postgres = self.postgres.iter().map(|server| (POSTGRES_VARIABLE, server.url("postgres")));
        let kafka = self.kafka.iter().map(|server| (KAFKA_VARIABLE, server.bootstrap()));
        postgres.chain(kafka).fold(command, |command, (variable, address)| {
            eprintln!("{variable}={address}");
            command.env(variable, address)
        })
    }

    async fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(kafka) = &mut self.kafka {
            kafka.stop().await?;
        }
        if let Some(postgres) = &mut self.postgres {
            postgres.stop().await?;
        }
        Ok(())
    }
}

async fn unless_set<T>(
    variable: &str,
    start: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<Option<T>> {
    if cornjacket_testkit::shared::from_environment(variable).is_some() {
        return Ok(None);
    }
    start.await.map(Some)
}

/// The first SIGINT or SIGTERM from now on.
fn interruption() -> anyhow::Result<impl Future<Output = Signal>> {
    let mut int = signal(SignalKind::interrupt())?;
    let mut term = signal(SignalKind::terminate())?;
    Ok(async move {
        select! {
            _ = int.recv() => Signal::INT,
            _ = term.recv() => Signal::TERM,
        }
    })
}

/// Passes the signal on to the command and all that it started, and kills what does not heed it.
async fn end(process: &mut Process, signal: Signal) -> anyhow::Result<ExitCode> {
    process.signal_all(signal)?;
    if process.wait(GRACE).await.is_err() {
        process.kill9().await?;
    }
    Ok(killed_by(signal))
}

/// As shells report it.
fn killed_by(signal: Signal) -> ExitCode {
    u8::try_from(128 + signal.as_raw()).map_or(ExitCode::FAILURE, ExitCode::from)
}

fn exit_code(status: ExitStatus) -> ExitCode {
    status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}
