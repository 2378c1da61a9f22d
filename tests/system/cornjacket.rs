//! A running `cornjacket`, as a user starts it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use cornjacket_auth::TokenRequest;
use cornjacket_domain::{Clock, Scope, SystemClock};
use cornjacket_proto::actions::action_service_client::ActionServiceClient;
use cornjacket_proto::admin::admin_service_client::AdminServiceClient;
use cornjacket_proto::admin::{ConsumerProgress, ListConsumersRequest};
use cornjacket_proto::events::Event;
use cornjacket_proto::ingest::ingest_service_client::IngestServiceClient;
use cornjacket_proto::ingest::{AppendRequest, Receipt};
use cornjacket_proto::query::query_service_client::QueryServiceClient;
pub use cornjacket_testkit::http::get as http_get;
use cornjacket_testkit::{Process, Program, ports};
use tempfile::TempDir;
use tonic::Status;
use tonic::metadata::AsciiMetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};

const START_DEADLINE: Duration = Duration::from_secs(20);
const STOP_DEADLINE: Duration = Duration::from_secs(20);
const CALL_DEADLINE: Duration = Duration::from_secs(20);

/// What tokens are signed with.
pub const SECRET: &str = "a secret that is good for tests alone";

/// What secrets of endpoints are kept under: 32 bytes.
const SECRET_KEY: &str = "YSBrZXkgdGhhdCBpcyBnb29kIGZvciB0ZXN0cyAhISE=";

/// Whom they are for.
pub const AUDIENCE: &str = "cornjacket";

/// A connection whose calls carry a token.
pub type Connection = InterceptedService<Channel, Bearer>;

/// Puts a token on every call.
#[derive(Clone, Debug)]
pub struct Bearer(AsciiMetadataValue);

impl Bearer {
    /// That token.
    pub fn new(token: &str) -> anyhow::Result<Self> {
        Ok(Self(format!("Bearer {token}").parse()?))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// The binary as an operator runs it, who has a token and no secret.
pub fn operator() -> anyhow::Result<Program> {
    Ok(Program::new(env!("CARGO_BIN_EXE_cornjacket")).env("CORNJACKET_TOKEN", token()?))
}

/// A token for everything.
pub fn token() -> anyhow::Result<String> {
    token_in(Duration::ZERO)
}

/// The same by a clock that is so much ahead.
fn token_in(ahead: Duration) -> anyhow::Result<String> {
    minted_in(ahead, &TokenRequest::new("tests", &Scope::ALL, AUDIENCE))
}

/// A token that says so.
pub fn minted(request: &TokenRequest) -> anyhow::Result<String> {
    minted_in(Duration::ZERO, request)
}

fn minted_in(ahead: Duration, request: &TokenRequest) -> anyhow::Result<String> {
    Ok(cornjacket_auth::mint(&SECRET.to_owned().into(), request, SystemClock.now() + ahead)?)
}

/// How to start it; every port is a free one and stays the same over restarts.
#[derive(Clone, Debug)]
pub struct Cornjacket {
    /// With its settings in the environment; without a verb.
    program: Program,
    arguments: Vec<String>,
    /// Keeps its log.
    folder: Arc<TempDir>,
    /// How much its clock is ahead of everybody's.
    ahead: Duration,
    pub ingest: u16,
    pub query: u16,
    pub actions: u16,
    pub gateway: u16,
    pub ops: u16,
}

impl Cornjacket {
    /// `cornjacket serve` with these settings, given as `section.key`.
    pub fn new(settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let (ingest, query) = (ports::free_port()?, ports::free_port()?);
        let (gateway, ops) = (ports::free_port()?, ports::free_port()?);
        let actions = ports::free_port()?;
        let folder = tempfile::tempdir()?;
        let mut program = Program::new(env!("CARGO_BIN_EXE_cornjacket"));
        program = program.log(folder.path().join("log"));
        program = program.env("CORNJACKET__AUTH__SECRET", SECRET);
        // Loads are not limited where that is not what they are about.
        program = program.env("CORNJACKET__INGEST__EVENTS_PER_SECOND", "0");
        program = program.env("CORNJACKET__ACTIONS__SECRET_KEY", SECRET_KEY);
        let doors =
            [("INGEST", ingest), ("QUERY", query), ("ACTIONS", actions), ("GATEWAY", gateway), ("OPS", ops)];
        for (door, port) in doors {
            program = program.env(format!("CORNJACKET__{door}__LISTEN"), format!("127.0.0.1:{port}"));
        }
        for (key, value) in settings {
            let name = key.to_uppercase().replace('.', "__");
            program = program.env(format!("CORNJACKET__{name}"), *value);
        }
        let arguments = vec!["serve".to_owned()];
        Ok(Self {
            program,
            arguments,
            folder: Arc::new(folder),
            ahead: Duration::ZERO,
            ingest,
            query,
            actions,
            gateway,
            ops,
        })
    }

    /// Embedded, with its data in `folder`.
    pub fn embedded(folder: &Path) -> anyhow::Result<Self> {
        Self::new(&[("store.url", &format!("sqlite://{}", folder.join("cornjacket.db").display()))])
    }

    /// With these roles only.
    #[must_use]
    pub fn roles(mut self, roles: &str) -> Self {
        self.arguments.extend(["--roles".to_owned(), roles.to_owned()]);
        self
    }

    /// With a variable in its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.program = self.program.env(name, value);
        self
    }

    /// With a clock that is so many days ahead of everybody's; durations stay what they are.
    pub async fn days_ahead(self, days: u32) -> anyhow::Result<Self> {
        let more = self.folder.path().join("cnd_timedwait.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/faketime/cnd_timedwait.c");
        let compile = Program::new("gcc").args(["-O2", "-shared", "-fPIC", "-o"]).arg(&more).arg(source);
        compile.output(START_DEADLINE).await?;
        let ahead = Duration::from_hours(24) * days;
        Ok(Self { ahead, ..self }
            .env("LD_PRELOAD", &format!("{}:{}", more.display(), libfaketime()?.display()))
            .env("FAKETIME", &format!("+{days}d"))
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1"))
    }

    /// Another verb with the same settings.
    pub fn verb(&self, arguments: &[&str]) -> Program {
        self.program.clone().args(arguments.iter().copied())
    }

    /// Starts it and waits until it is ready.
    pub async fn start(&self) -> anyhow::Result<Process> {
        let mut process = self.program.clone().args(&self.arguments).spawn()?;
        let ready = async || is_ready(self.ops).await;
        process.until_ready(START_DEADLINE, "cornjacket to be ready", ready).await?;
        Ok(process)
    }

    /// Starts it where it must refuse: what it said.
    pub async fn refuse(&self) -> anyhow::Result<String> {
        let mut process = self.program.clone().args(&self.arguments).spawn()?;
        let status = process.wait(START_DEADLINE).await?;
        anyhow::ensure!(!status.success(), "it should have refused to start");
        Ok(process.log())
    }

    pub async fn ingest(&self) -> anyhow::Result<IngestServiceClient<Connection>> {
        Ok(IngestServiceClient::new(self.channel(self.ingest).await?))
    }

    /// Appends one event: its receipt.
    pub async fn append(&self, event: Event) -> anyhow::Result<Receipt> {
        let response = self.ingest().await?.append(AppendRequest { event: Some(event) }).await?;
        Ok(response.into_inner().receipt.unwrap_or_default())
    }

    /// A connection to one of its ports, with a token for everything.
    pub async fn channel(&self, port: u16) -> anyhow::Result<Connection> {
        self.channel_with(port, &token_in(self.ahead)?).await
    }

    /// The same with that token.
    pub async fn channel_with(&self, port: u16, token: &str) -> anyhow::Result<Connection> {
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}"))?.timeout(CALL_DEADLINE);
        let channel = endpoint.connect().await.with_context(|| format!("port {port}"))?;
        Ok(InterceptedService::new(channel, Bearer::new(token)?))
    }

    pub async fn admin(&self) -> anyhow::Result<AdminServiceClient<Connection>> {
        Ok(AdminServiceClient::new(self.channel(self.query).await?))
    }

    /// How far every consumer has come.
    pub async fn consumers(&self) -> anyhow::Result<Vec<ConsumerProgress>> {
        let listed = self.admin().await?.list_consumers(ListConsumersRequest {}).await?;
        Ok(listed.into_inner().consumers)
    }

    /// Whether every consumer has read everything; not while that cannot be asked.
    pub async fn is_all_read(&self) -> bool {
        let level = |all: &[ConsumerProgress]| !all.is_empty() && all.iter().all(|one| one.lag_events == 0);
        self.consumers().await.is_ok_and(|all| level(&all))
    }

    pub async fn actions(&self) -> anyhow::Result<ActionServiceClient<Connection>> {
        Ok(ActionServiceClient::new(self.channel(self.actions).await?))
    }

    pub async fn query(&self) -> anyhow::Result<QueryServiceClient<Connection>> {
        Ok(QueryServiceClient::new(self.channel(self.query).await?))
    }
}

/// Debian keeps it in a folder that is named after the machine.
fn libfaketime() -> anyhow::Result<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib")?.filter_map(|entry| Some(entry.ok()?.path()));
    let mut libraries = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    libraries.find(|library| library.exists()).context("tests/setup installs faketime")
}

/// Asks it to stop, and waits until it has.
pub async fn stop(mut process: Process) -> anyhow::Result<()> {
    let status = process.stop(cornjacket_testkit::Signal::TERM, STOP_DEADLINE).await?;
    anyhow::ensure!(status.success(), "it should end well, but: {status}\n{}", process.log());
    Ok(())
}

/// What `/readyz` answers, by its status line: no HTTP client is needed for that.
pub async fn is_ready(ops: u16) -> bool {
    http_get(ops, "/readyz").await.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}
