//! Asking a server over HTTP.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use tokio::time::timeout;

use super::failure::Failure;
use super::protocol::{Judgement, Rows, judgements, request};
use crate::detectors::Remote;

/// What an answer may have, in bytes: for itself, and for each row. Four numbers take about a hundred.
const MOST_BYTES: (usize, usize) = (64 * 1024, 512);
/// A connection that nobody uses is closed after this.
const IDLE: Duration = Duration::from_mins(1);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The process has chosen none, which would be a panic later.
    #[error("no TLS provider is installed")]
    NoTlsProvider,
    /// Of the library.
    #[error(transparent)]
    Client(#[from] reqwest::Error),
}

/// What asks model servers. Copies share their connections.
#[derive(Clone, Debug)]
pub struct ModelClient(Client);

impl ModelClient {
    /// One that goes where models say and nowhere else: no redirects, and no proxy of the environment.
    pub fn new() -> Result<Self, ClientError> {
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            return Err(ClientError::NoTlsProvider);
        }
        let client = Client::builder().redirect(Policy::none()).no_proxy().referer(false);
        Ok(Self(client.pool_idle_timeout(IDLE).build()?))
    }

    /// What a server says of some rows, within the model's deadline.
    pub(crate) async fn infer(
        &self,
        model: &Remote,
        id: &str,
        rows: &Rows,
    ) -> Result<Vec<Judgement>, Failure> {
        let answer = timeout(model.deadline(), self.ask(model, id, rows));
        answer.await.unwrap_or(Err(Failure::Deadline(model.parameters.deadline_ms)))
    }

    async fn ask(&self, model: &Remote, id: &str, rows: &Rows) -> Result<Vec<Judgement>, Failure> {
        let call = self.0.post(model.infer.clone()).header(CONTENT_TYPE, "application/json");
        let mut answer = call.body(request(model, id, rows)).send().await.map_err(unreachable)?;
        if answer.status() != StatusCode::OK {
            return Err(Failure::Status(answer.status().as_u16()));
        }
        let most = MOST_BYTES.0 + MOST_BYTES.1 * rows.count;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
            body.extend_from_slice(&chunk);
            if body.len() > most {
                return Err(Failure::nonsense(format!("the answer has more than {most} bytes")));
            }
        }
        judgements(model, id, rows.count, &body)
    }
}

/// The last cause says what happened; what is around it says only that a request failed, and where, which the model says.
#[allow(clippy::needless_pass_by_value, reason = "as map_err wants it")]
fn unreachable(error: reqwest::Error) -> Failure {
    let causes = std::iter::successors(std::error::Error::source(&error), |error| error.source());
    Failure::Unreachable(causes.last().map_or_else(|| error.to_string(), ToString::to_string))
}
