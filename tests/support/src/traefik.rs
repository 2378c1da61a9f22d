//! A Traefik of a test's own, with the configuration that the project ships.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::http::get;
use crate::{Process, Program, Scratch, ports};

const DEADLINE: Duration = Duration::from_mins(1);
const CONFIGURATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/traefik");

/// A running Traefik. Dropping it ends it.
#[derive(Debug)]
pub struct Traefik {
    process: Process,
    /// The port for everybody.
    pub web: u16,
    // Keeps its log and its configuration.
    scratch: Scratch,
}

impl Traefik {
    /// Starts `program` in front of services that are where `environment` says, and waits until it is there. Of the
    /// static configuration only the ports and the place of the other file are changed, and `more` is added; the other file
    /// is used as it is.
    pub async fn start(program: Program, environment: &[(&str, String)], more: &str) -> anyhow::Result<Self> {
        let scratch = Scratch::new("traefik")?;
        let (web, own) = (ports::free_port()?, ports::free_port()?);
        let configuration = scratch.path().join("traefik.yml");
        fs::write(&configuration, adapted(web, own)? + more)?;
        let mut program = program.arg(format!("--configFile={}", configuration.display()));
        for (name, value) in environment {
            program = program.env(*name, value);
        }
        let process = program.log(scratch.path().join("log")).spawn()?;
        let mut traefik = Self { process, web, scratch };
        // It answers its ping before it has routes.
        let ready = async || {
            let routed =
                get(web, "/openapi.json").await.is_ok_and(|answer| !answer.starts_with("HTTP/1.1 404"));
            routed && get(own, "/ping").await.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
        };
        traefik.process.until_ready(DEADLINE, "Traefik has routes", ready).await?;
        Ok(traefik)
    }

    /// What it has logged, requests included.
    pub fn log(&self) -> anyhow::Result<String> {
        let path = self.scratch.path().join("log");
        fs::read_to_string(&path).with_context(|| path.display().to_string())
    }
}

fn adapted(web: u16, own: u16) -> anyhow::Result<String> {
    let mut text = fs::read_to_string(Path::new(CONFIGURATION).join("traefik.yml"))?;
    let dynamic = format!("{CONFIGURATION}/dynamic.yml");
    let changes = [
        ("\":80\"", format!("\"127.0.0.1:{web}\"")),
        ("127.0.0.1:8090", format!("127.0.0.1:{own}")),
        ("deploy/traefik/dynamic.yml\n", format!("{dynamic}\n")),
    ];
    for (from, to) in changes {
        ensure!(text.contains(from), "deploy/traefik/traefik.yml no longer has {from}");
        // Comments may name them too: the last is the setting.
        let at = text.rfind(from).context("just seen")?;
        text.replace_range(at..at + from.len(), &to);
    }
    Ok(text)
}
