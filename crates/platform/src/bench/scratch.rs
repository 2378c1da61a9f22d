//! Databases that a bench makes on the server named by `store.url`, and drops again.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::Context;
use tokio::process::Command;

/// A server on which databases may be made.
#[derive(Clone, Debug)]
pub struct Postgres {
    /// URL of a database on it.
    url: String,
    /// How baselines reach it: `host=… port=…` of its Unix socket, or nothing when it is not on this machine.
    socket: Option<(String, String)>,
}

/// A database of its own. Call [`Database::drop_it`] when done.
#[derive(Debug)]
pub struct Database {
    server: Postgres,
    name: String,
}

impl Postgres {
    /// The server behind `url`; finds out where its Unix socket is.
    pub async fn connect(url: &str) -> anyhow::Result<Self> {
        let ask = async |setting: &str| {
            let answer = psql(url, &format!("show {setting}")).await?;
            anyhow::Ok(answer.split(',').next().unwrap_or_default().trim().to_owned())
        };
        let (folder, port) = (ask("unix_socket_directories").await?, ask("port").await?);
        let socket = PathBuf::from(&folder).join(format!(".s.PGSQL.{port}"));
        Ok(Self { url: url.to_owned(), socket: socket.exists().then_some((folder, port)) })
    }

    /// Makes a database.
    pub async fn database(&self, purpose: &str) -> anyhow::Result<Database> {
        let name = format!("cornjacket_bench_{}_{purpose}", std::process::id());
        psql(&self.url, &format!("create database {name}")).await?;
        Ok(Database { server: self.clone(), name })
    }
}

impl Database {
    /// As `store.url`.
    pub fn url(&self) -> String {
        let (address, query) = self.server.url.split_once('?').unwrap_or((&self.server.url, ""));
        let server = address.rsplit_once('/').map_or(address, |(server, _)| server);
        let query = if query.is_empty() { String::new() } else { format!("?{query}") };
        format!("{server}/{}{query}", self.name)
    }

    /// The same over the Unix socket, where there is one.
    pub fn socket_url(&self) -> String {
        let Some((folder, port)) = &self.server.socket else { return self.url() };
        let url = self.url();
        let credentials = url.split_once("://").map_or("", |(_, rest)| rest);
        let credentials =
            credentials.rsplit_once('@').map(|(user, _)| format!("{user}@")).unwrap_or_default();
        // A folder stands percent-encoded in the host's place.
        let host = folder.replace('/', "%2F");
        format!("postgres://{credentials}{host}:{port}/{}", self.name)
    }

    /// Removes it.
    pub async fn drop_it(self) -> anyhow::Result<()> {
        psql(&self.server.url, &format!("drop database {} with (force)", self.name)).await.map(drop)
    }
}

/// Runs one statement, and returns what psql prints.
pub async fn psql(url: &str, statement: &str) -> anyhow::Result<String> {
    let mut command = Command::new(client("psql"));
    command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]);
    output(command.args(["--command", statement, url])).await
}

/// What a command prints; an error, when it fails, with what it said.
pub async fn output(command: &mut Command) -> anyhow::Result<String> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    let done =
        command.stdin(Stdio::null()).kill_on_drop(true).output().await.with_context(|| name.clone())?;
    let said = String::from_utf8_lossy(&done.stderr);
    anyhow::ensure!(done.status.success(), "{name}: {}: {said}", done.status);
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// A client program of PostgreSQL. Debian keeps some of them out of `PATH`, by version.
pub fn client(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .filter(|version| version.path().join("bin").join(name).exists())
        .max_by_key(|version| version.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    newest.map_or_else(|| name.into(), |version| version.path().join("bin").join(name))
}
