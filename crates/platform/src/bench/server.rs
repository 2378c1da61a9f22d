//! The server under load: `cornjacket serve`, from this binary.

use std::collections::HashMap;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use cornjacket_proto::actions::action_service_client::ActionServiceClient;
use cornjacket_proto::admin::admin_service_client::AdminServiceClient;
use cornjacket_proto::ingest::ingest_service_client::IngestServiceClient;
use cornjacket_proto::query::query_service_client::QueryServiceClient;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::{Instant, timeout};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Endpoint;

use crate::commands::client::{Bearer, Connection};
use crate::config::{self, Secret, Sources};
use crate::identity;

const START_DEADLINE: Duration = Duration::from_secs(30);
const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// A running server. Dropped, it is killed.
#[derive(Debug)]
pub struct Server {
    child: Child,
    ingest: String,
    query: String,
    actions: String,
    /// Where the gateway listens; empty without one.
    pub gateway: String,
    /// Where the broker inside listens; empty without one.
    pub mqtt: String,
    token: String,
    bearer: Bearer,
    /// From the start of the process until it listened everywhere.
    pub startup: Duration,
}

impl Server {
    /// Starts the roles on the store, each on a free port, with more settings: `("BUS__URL", "embedded:")`.
    pub async fn start(store_url: &str, roles: &str, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let mut auth = config::load(&Sources::default())?.auth;
        auth.secret = Secret::new(cornjacket_auth::new_secret());
        let token = identity::own_token(&auth, "bench")?.context("there is a secret")?;
        let bearer = Bearer::new(&token)?;
        let started = Instant::now();
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", "--roles", roles]);
        command.env("CORNJACKET__STORE__URL", store_url);
        command.env("CORNJACKET__AUTH__SECRET", auth.secret.expose().unwrap_or_default());
        command.env("CORNJACKET__INGEST__EVENTS_PER_SECOND", "0");
        for door in ["INGEST", "QUERY", "ACTIONS", "GATEWAY", "OPS"] {
            command.env(format!("CORNJACKET__{door}__LISTEN"), "127.0.0.1:0");
        }
        for (name, value) in settings {
            command.env(format!("CORNJACKET__{name}"), value);
        }
        command.env("CORNJACKET__LOG__FORMAT", "json").env("CORNJACKET__LOG__LEVEL", "info");
        command.stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("starting the server under load")?;
        let mut log = BufReader::new(child.stderr.take().context("its log is piped")?);
        let mut addresses =
            timeout(START_DEADLINE, addresses(&mut log)).await.context("the server does not start")??;
        let startup = started.elapsed();
        // Read on, or the server would wait for room in the pipe.
        tokio::spawn(async move {
            let mut lines = log.lines();
            while let Ok(Some(line)) = lines.next_line().await {
                eprintln!("{line}");
            }
        });
        let mut at = |role: &str| addresses.remove(role).unwrap_or_default();
        let (ingest, query, actions) = (at("ingest"), at("query"), at("actions"));
        let (gateway, mqtt) = (at("gateway"), at("mqtt"));
        Ok(Self { child, ingest, query, actions, gateway, mqtt, token, bearer, startup })
    }

    /// A client with a connection of its own.
    pub async fn client(&self) -> anyhow::Result<IngestServiceClient<Connection>> {
        Ok(IngestServiceClient::new(self.connect(&self.ingest).await?).max_decoding_message_size(usize::MAX))
    }

    /// A client of its queries, with a connection of its own.
    pub async fn query(&self) -> anyhow::Result<QueryServiceClient<Connection>> {
        Ok(QueryServiceClient::new(self.connect(&self.query).await?).max_decoding_message_size(usize::MAX))
    }

    /// A client of its administration, with a connection of its own.
    pub async fn admin(&self) -> anyhow::Result<AdminServiceClient<Connection>> {
        Ok(AdminServiceClient::new(self.connect(&self.query).await?))
    }

    /// A client of its rules and endpoints, with a connection of its own.
    pub async fn actions(&self) -> anyhow::Result<ActionServiceClient<Connection>> {
        Ok(ActionServiceClient::new(self.connect(&self.actions).await?))
    }

    /// The header of a call over HTTP.
    pub fn authorization(&self) -> String {
        format!("Bearer {}", self.token)
    }

    async fn connect(&self, address: &str) -> anyhow::Result<Connection> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true);
        Ok(InterceptedService::new(endpoint.connect().await?, self.bearer.clone()))
    }

    /// Its process.
    pub fn id(&self) -> anyhow::Result<u32> {
        self.child.id().context("the server has ended")
    }

    /// Resident memory in MiB.
    pub fn memory_mib(&self) -> anyhow::Result<f64> {
        let id = self.id()?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        Ok(line.context("no VmRSS")?.trim().parse::<f64>()? / 1024.0)
    }

    /// Stops it in order.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let id = self.id()?;
        Command::new("kill").arg(id.to_string()).status().await?;
        timeout(STOP_DEADLINE, self.child.wait()).await.context("the server does not stop")??;
        Ok(())
    }
}

/// Reads the log until it says that every door is open: that of `ops` is the last. Where each role listens.
async fn addresses(log: &mut BufReader<ChildStderr>) -> anyhow::Result<HashMap<String, String>> {
    let (mut line, mut addresses) = (String::new(), HashMap::new());
    while log.read_line(&mut line).await? > 0 {
        let entry: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        if entry["message"] == "listening" {
            let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
            addresses.insert(text("role"), text("address"));
            if entry["role"] == "ops" {
                return Ok(addresses);
            }
        } else {
            eprint!("{line}");
        }
        line.clear();
    }
    anyhow::bail!("the server ended at its start")
}
