//! A receiver of webhooks that behaves as a test wants, and notes what it was asked.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

/// What a request is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// That status.
    Status(u16),
    /// Nothing, ever.
    Never,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `webhook-id`.
    pub id: String,
    /// All of its headers.
    pub headers: HeaderMap,
    /// The event.
    pub event: Value,
    /// When it came.
    pub at: Instant,
    /// What it was answered with.
    pub answer: Answer,
}

type Behave = Box<dyn Fn(usize) -> Answer + Send + Sync>;

struct Inside {
    asked: Mutex<Vec<Asked>>,
    behave: Mutex<Behave>,
}

/// It runs until it is dropped.
pub struct Receiver {
    address: SocketAddr,
    inside: Arc<Inside>,
    _task: AbortOnDropHandle<()>,
}

impl Receiver {
    /// One that answers the request of each number, from 0, so.
    pub async fn start(behave: impl Fn(usize) -> Answer + Send + Sync + 'static) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let inside = Arc::new(Inside { asked: Mutex::default(), behave: Mutex::new(Box::new(behave)) });
        let address = listener.local_addr()?;
        let router = Router::new().fallback(post(receive)).with_state(inside.clone());
        let serve =
            async move { axum::serve(listener, router).await.expect("it serves until it is dropped") };
        Ok(Self { address, inside, _task: AbortOnDropHandle::new(tokio::spawn(serve)) })
    }

    /// One that takes everything.
    pub async fn good() -> anyhow::Result<Self> {
        Self::start(|_| Answer::Status(204)).await
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// From now on it answers so.
    pub fn behave(&self, behave: impl Fn(usize) -> Answer + Send + Sync + 'static) {
        *self.inside.behave.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(behave);
    }

    /// What it was asked, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.inside.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn receive(State(inside): State<Arc<Inside>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let answer = {
        let mut asked = inside.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = inside.behave.lock().unwrap_or_else(PoisonError::into_inner)(asked.len());
        let id = headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
        let event = serde_json::from_slice(&body).unwrap_or_default();
        asked.push(Asked { id, headers, event, at: Instant::now(), answer });
        answer
    };
    match answer {
        Answer::Status(status) => StatusCode::from_u16(status).unwrap_or_default(),
        Answer::Never => std::future::pending().await,
    }
}
