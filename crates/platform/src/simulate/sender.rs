//! Having batches taken by a server that may be busy or away.

use std::error::Error;
use std::time::Duration;

use cornjacket_proto::events::Event;
use cornjacket_proto::google::rpc;
use cornjacket_proto::ingest::ingest_service_client::IngestServiceClient;
use cornjacket_proto::ingest::{AppendBatchRequest, Outcome};
use indicatif::ProgressBar;
use prost::{Message, Name};
use tokio::time::{Instant, sleep};
use tonic::transport::Endpoint;
use tonic::{Code, Status};

use crate::commands::client::{Connection, connect, told};
use crate::config::Settings;

const CALL_DEADLINE: Duration = Duration::from_secs(30);
/// How long until the next try when the server does not say.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// A client that tries again.
#[derive(Debug)]
pub struct Sender {
    client: IngestServiceClient<Connection>,
    patience: Duration,
}

impl Sender {
    /// Connects. A batch that is not taken within `patience` of its first failure is given up.
    pub async fn connect(address: &str, settings: &Settings, patience: Duration) -> anyhow::Result<Self> {
        let configure = |endpoint: Endpoint| endpoint.timeout(CALL_DEADLINE).tcp_nodelay(true);
        let channel = connect(address, settings, configure).await?;
        let client = IngestServiceClient::new(channel).max_decoding_message_size(usize::MAX);
        Ok(Self { client, patience })
    }

    /// Sends a batch until the server answers for it: ids make that safe. Says so when it has to wait.
    pub async fn send(&self, events: Vec<Event>, bar: &ProgressBar) -> anyhow::Result<Vec<Outcome>> {
        let request = AppendBatchRequest { events };
        let mut failing: Option<Instant> = None;
        loop {
            let status = match self.client.clone().append_batch(request.clone()).await {
                Ok(response) => return answered(&request, response.into_inner().outcomes),
                Err(status) => status,
            };
            let Some(delay) = try_again_after(&status) else {
                return Err(told(&status).context("the server does not take events"));
            };
            if failing.is_none() {
                let waits = humantime::format_duration(self.patience);
                bar.suspend(|| eprintln!("{}; trying again, for up to {waits}", told(&status)));
            }
            if failing.get_or_insert_with(Instant::now).elapsed() + delay > self.patience {
                let waited = humantime::format_duration(self.patience);
                return Err(told(&status).context(format!("given up after {waited}")));
            }
            sleep(delay).await;
        }
    }
}

fn answered(request: &AppendBatchRequest, outcomes: Vec<Outcome>) -> anyhow::Result<Vec<Outcome>> {
    let (events, answers) = (request.events.len(), outcomes.len());
    anyhow::ensure!(events == answers, "the server gave {answers} outcomes for {events} events");
    Ok(outcomes)
}

/// How long to wait before the same call may succeed; `None` when it never will.
fn try_again_after(status: &Status) -> Option<Duration> {
    let asked = retry_delay(status);
    // What has a source was not said by the server: the connection broke, or the call took too long.
    let unheard = status.source().is_some();
    match status.code() {
        // Without a delay the request itself is too large.
        Code::ResourceExhausted => asked,
        Code::Unavailable | Code::DeadlineExceeded => Some(asked.unwrap_or(TRY_AGAIN_AFTER)),
        _ if unheard => Some(TRY_AGAIN_AFTER),
        _ => None,
    }
}

/// The delay of a `google.rpc.RetryInfo`.
fn retry_delay(status: &Status) -> Option<Duration> {
    let details = rpc::Status::decode(status.details()).ok()?.details;
    let info = details.iter().find(|detail| detail.type_url.ends_with(&rpc::RetryInfo::full_name()))?;
    rpc::RetryInfo::decode(&info.value[..]).ok()?.retry_delay?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use cornjacket_proto::status::{ErrorKind, Failure};

    use super::*;

    #[test]
    fn what_the_server_asks_for_is_honoured_and_what_cannot_help_is_not_tried() {
        let failure = |kind| Failure::new(kind, "why");
        let delay = Duration::from_millis(50);
        let after = |failure: Failure| try_again_after(&failure.into());
        assert_eq!(after(failure(ErrorKind::Exhausted).with_retry_after(delay)), Some(delay));
        assert_eq!(after(failure(ErrorKind::Unavailable).with_retry_after(delay)), Some(delay));
        assert_eq!(after(failure(ErrorKind::Unavailable)), Some(TRY_AGAIN_AFTER));
        for kind in
            [ErrorKind::TooLarge, ErrorKind::Invalid, ErrorKind::Internal, ErrorKind::PermissionDenied]
        {
            assert_eq!(after(failure(kind)), None, "{kind:?}");
        }
        let broken = Status::from_error(Box::new(std::io::Error::other("reset")));
        assert_eq!(try_again_after(&broken), Some(TRY_AGAIN_AFTER));
    }
}
