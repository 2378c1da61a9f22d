//! A receiver of webhooks: it verifies what it is told, and says when that came.

use std::collections::HashMap;
use std::future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use cornjacket_actions::Verifier;
use cornjacket_domain::{Clock, SystemClock};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::anomalies::DEADLINE;

/// The endpoint that takes requests and never answers.
pub const DEAD: &str = "dead";

/// What it was told.
#[derive(Debug)]
pub struct Arrival {
    /// The event.
    pub event: Value,
    /// When it had come, and was found to be the sender's.
    pub at: Instant,
}

#[derive(Debug)]
struct Inside {
    /// By endpoint.
    keys: RwLock<HashMap<String, Verifier>>,
    arrivals: UnboundedSender<Arrival>,
}

/// It runs until it is dropped.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    inside: Arc<Inside>,
    arrivals: UnboundedReceiver<Arrival>,
    _task: AbortOnDropHandle<()>,
}

impl Receiver {
    /// One that answers at once, but for [`DEAD`].
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (sender, arrivals) = mpsc::unbounded_channel();
        let inside = Arc::new(Inside { keys: RwLock::default(), arrivals: sender });
        let router = Router::new().route("/{endpoint}", post(receive)).with_state(inside.clone());
        let serve =
            async move { axum::serve(listener, router).await.expect("it serves until it is dropped") };
        Ok(Self { address, inside, arrivals, _task: AbortOnDropHandle::new(tokio::spawn(serve)) })
    }

    /// Where an endpoint is told.
    pub fn url(&self, endpoint: &str) -> String {
        format!("http://{}/{endpoint}", self.address)
    }

    /// What it verifies that endpoint's requests with.
    pub fn verify_by(&self, endpoint: &str, key: &str) -> anyhow::Result<()> {
        let verifier = Verifier::parse(key).context("a key that verifies")?;
        self.inside
            .keys
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(endpoint.to_owned(), verifier);
        Ok(())
    }

    /// What comes next; an error when nothing does.
    pub async fn next(&mut self) -> anyhow::Result<Arrival> {
        let next = timeout(DEADLINE, self.arrivals.recv()).await.context("nothing more is told")?;
        next.context("the receiver goes on")
    }
}

async fn receive(
    State(inside): State<Arc<Inside>>,
    Path(endpoint): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    if endpoint == DEAD {
        return future::pending().await;
    }
    let at = Instant::now();
    let is_verified = {
        let keys = inside.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.get(&endpoint).is_some_and(|key| key.verify(&headers, &body, SystemClock.now()).is_ok())
    };
    let event = serde_json::from_slice(&body).unwrap_or_default();
    // Whoever measures may have seen enough.
    match is_verified.then(|| inside.arrivals.send(Arrival { event, at })) {
        Some(Ok(())) => StatusCode::NO_CONTENT,
        Some(Err(_)) => StatusCode::GONE,
        None => StatusCode::UNAUTHORIZED,
    }
}
