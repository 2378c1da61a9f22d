//! `cornjacket listen`: an endpoint on this machine that verifies and prints what it is told.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use clap::Args;
use cornjacket_actions::Verifier;
use cornjacket_domain::{Clock, SystemClock};
use serde_json::Value;
use tokio::net::TcpListener;

use super::dev;
use crate::config::Settings;
use crate::telemetry;

/// Flags of `cornjacket listen`.
#[derive(Debug, Args)]
pub struct Listen {
    /// Where it listens; `http://` and this is the endpoint's url.
    #[arg(long = "listen", default_value = "127.0.0.1:9000", value_name = "HOST:PORT")]
    address: SocketAddr,
    /// What signatures are verified with: what `cornjacket endpoints create` printed. By default that of the example endpoint
    /// of the `cornjacket dev` in this folder.
    #[arg(long, env = "CORNJACKET_LISTEN_KEY", value_name = "whsec_… | whpk_…", hide_env_values = true)]
    key: Option<String>,
    /// The data folder of that `cornjacket dev`.
    #[arg(long, default_value = dev::DATA, value_name = "FOLDER")]
    data: PathBuf,
    /// Print deliveries whole, as JSON, a line each.
    #[arg(long)]
    json: bool,
}

/// What it answers with.
#[derive(Debug)]
struct Receiver {
    verifier: Verifier,
    json: bool,
}

impl Listen {
    /// Runs until it is interrupted.
    pub fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let key = self.key.map_or_else(|| example_key(&self.data), Ok)?;
        let verifier = Verifier::parse(key.trim()).context("--key: must be whsec_… or whpk_…")?;
        let receiver = Arc::new(Receiver { verifier, json: self.json });
        telemetry::block_on(&settings.log, async {
            let listener = TcpListener::bind(self.address).await;
            let listener = listener.with_context(|| format!("--listen {}", self.address))?;
            eprintln!("listening at http://{}; Ctrl-C ends it", listener.local_addr()?);
            let router = Router::new().fallback(post(receive)).with_state(receiver);
            tokio::select! {
                served = axum::serve(listener, router) => Ok(served?),
                interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
            }
        })
    }
}

/// The key of the endpoint that `cornjacket dev` begins with.
fn example_key(data: &Path) -> anyhow::Result<String> {
    let path = data.join(dev::LISTEN_KEY);
    let missing = || format!("--key is not given, and there is no {} of a `cornjacket dev`", path.display());
    std::fs::read_to_string(&path).with_context(missing)
}

async fn receive(State(receiver): State<Arc<Receiver>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if let Err(error) = receiver.verifier.verify(&headers, &body, SystemClock.now()) {
        eprintln!("refused: {error}");
        return StatusCode::UNAUTHORIZED;
    }
    println!("{}", line(&body, receiver.json));
    StatusCode::NO_CONTENT
}

fn line(body: &[u8], whole: bool) -> String {
    let Ok(event) = serde_json::from_slice::<Value>(body) else {
        return String::from_utf8_lossy(body).into_owned();
    };
    if whole {
        return event.to_string();
    }
    let text = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (title, subject, kind) = (text("cornjackettitle"), text("subject"), text("type"));
    format!("{} [{}] {title}  ({kind} of {subject})", text("time"), text("cornjacketrule"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_delivery_is_a_line() {
        let body = br#"{"time":"2026-01-01T00:00:00Z","cornjacketrule":"hot","cornjackettitle":"too hot","subject":"pump-7","type":"ai.anomaly_detected"}"#;
        let line = super::line(body, false);
        assert_eq!(line, "2026-01-01T00:00:00Z [hot] too hot  (ai.anomaly_detected of pump-7)");
        assert!(super::line(body, true).starts_with('{'));
        assert_eq!(super::line(b"no json", false), "no json");
    }
}
