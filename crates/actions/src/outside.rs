//! One attempt to tell somebody outside something, from the receiver's name to the end of its answer.
//!
//! Whoever answers is a stranger. All of it has one deadline, behind which nothing goes on: the connection belongs to the
//! attempt and ends with it. The head of an answer has a limit, all of it has one, of its body the beginning is read, and nothing in it is acted
//! on: no redirect, no cookie, no encoding, no second request. That is also why this is HTTP/1.1 on hyper's bare connection
//! and no client with a pool: one request per connection is all that HTTP/2 would carry.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cornjacket_domain::Timestamp;
use cornjacket_domain::violation::brief;
use http::header::{CONTENT_LENGTH, HOST, RETRY_AFTER, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::{Instant, timeout};

use crate::classify::{Outcome, classify};
use crate::dial::{self, Connection, DialError, Dialler};
use crate::guard::Allow;
use crate::progress::{Answer, Progress, Step};
use crate::receiver_url::ReceiverUrl;
use crate::resolve::{Resolve, SystemResolver};

/// How long an attempt takes at the most, whatever its deadline.
const LONGEST: Duration = Duration::from_secs(30);
/// Bytes of an answer's body that are read and kept; what is behind them is not.
const MOST_RESPONSE: usize = 16 << 10;
/// Bytes of an answer's head, and fields in it.
const MOST_HEAD: (usize, usize) = (32 << 10, 100);

/// Why nothing can be sent.
#[derive(Debug, thiserror::Error)]
pub enum OutsideError {
    /// The process has chosen none.
    #[error("no TLS provider is installed")]
    NoTlsProvider,
    /// The provider knows no version of TLS that we do, or a root is none.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// The way to receivers.
#[derive(Clone, Debug)]
pub struct Outside(Dialler);

/// What a receiver is asked.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// Where.
    pub url: &'a ReceiverUrl,
    /// How.
    pub method: Method,
    /// With which fields; `host` and the length of the body are added.
    pub headers: HeaderMap,
    /// What.
    pub body: Bytes,
    /// When, which the answer may refer to.
    pub now: Timestamp,
    /// Whether 4xx means never.
    pub client_errors_are_final: bool,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempted {
    /// What it means.
    pub outcome: Outcome,
    /// The answer's status, where there was one.
    pub status: Option<u16>,
    /// Why it failed, for a person; empty when it did not.
    pub error: String,
    /// The beginning of the answer's body, up to 16 KiB.
    pub response: Bytes,
    /// The address that was dialled last.
    pub address: Option<SocketAddr>,
    /// How long it took.
    pub took: Duration,
}

impl Attempted {
    /// Of what could not be sent at all, and never can.
    pub fn unsendable(error: String) -> Self {
        Self {
            outcome: Outcome::Refused { disable: false },
            status: None,
            error,
            response: Bytes::new(),
            address: None,
            took: Duration::ZERO,
        }
    }
}

/// Why there was no answer to its end.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("{0}: {cause}", cause = last_cause(.1))]
    Http(Step, hyper::Error),
    #[error("the request cannot be written: {0}")]
    Request(#[from] http::Error),
    #[error("not done within {0:?}: {1}")]
    Deadline(Duration, Step),
}

impl Failure {
    const fn outcome(&self) -> Outcome {
        match self {
            Self::Dial(error) => error.outcome(),
            Self::Request(_) => Outcome::Refused { disable: false },
            Self::Http(..) | Self::Deadline(..) => Outcome::Failed,
        }
    }
}

impl Outside {
    /// The way from here: this machine's resolver, and whom it trusts, with further roots.
    pub fn new(allow: Allow, roots: &[CertificateDer<'static>]) -> Result<Self, OutsideError> {
        let tls = Arc::new(tls(roots)?);
        Ok(Self(Dialler { resolver: Arc::new(SystemResolver), allow, tls, only_listed: false }))
    }

    /// With another resolver.
    #[must_use]
    pub fn with_resolver(self, resolver: Arc<dyn Resolve>) -> Self {
        Self(Dialler { resolver, ..self.0 })
    }

    /// What the settings allow.
    pub const fn allow(&self) -> &Allow {
        &self.0.allow
    }

    /// The way to those that the settings name, and nobody else.
    #[must_use]
    pub fn only_listed(&self) -> Self {
        Self(Dialler { only_listed: true, ..self.0.clone() })
    }

    /// A connection to a vetted address of the URL's host, without TLS, for what speaks something else than HTTP. The caller sees to
    /// a deadline, which is `within`.
    pub(crate) async fn reach(
        &self,
        url: &ReceiverUrl,
        within: Duration,
        progress: &mut Progress,
    ) -> Result<Box<dyn Connection>, DialError> {
        self.0.reach(url, within, progress).await
    }

    /// TLS on such a connection, with whom the URL names.
    pub(crate) async fn secure(
        &self,
        url: &ReceiverUrl,
        stream: Box<dyn Connection>,
        progress: &mut Progress,
    ) -> Result<Box<dyn Connection>, DialError> {
        let mut tls = ClientConfig::clone(&self.0.tls);
        tls.alpn_protocols.clear();
        dial::secure(Arc::new(tls), url, stream, progress).await
    }

    /// Tries once. It ends within `deadline` and within 30 seconds, whatever the receiver does.
    pub async fn attempt(&self, call: Call<'_>, deadline: Duration) -> Attempted {
        let (begun, deadline) = (Instant::now(), deadline.min(LONGEST));
        let (now, is_final) = (call.now, call.client_errors_are_final);
        let mut progress = Progress::default();
        let ended = timeout(deadline, self.exchange(call, deadline, &mut progress)).await;
        let ended = ended.unwrap_or_else(|_| Err(Failure::Deadline(deadline, progress.step)));
        let means = |answer: &Answer| classify(answer.status, answer.retry_after.as_deref(), now, is_final);
        let (outcome, error) = conclude(ended, progress.answer.as_ref(), means);
        Attempted {
            outcome,
            status: progress.answer.map(|answer| answer.status.as_u16()),
            error,
            response: progress.response.into(),
            address: progress.address,
            took: begun.elapsed(),
        }
    }

    async fn exchange(
        &self,
        call: Call<'_>,
        within: Duration,
        progress: &mut Progress,
    ) -> Result<Answer, Failure> {
        let stream = self.0.dial(call.url, within, progress).await?;
        progress.step = Step::Asking;
        let mut builder = http1::Builder::new();
        builder.max_buf_size(MOST_HEAD.0).max_headers(MOST_HEAD.1);
        let shaken = builder.handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = shaken.map_err(|error| Failure::Http(progress.step, error))?;
        let request = request(call)?;
        let talk = async {
            let answer = sender.send_request(request).await;
            let answer = answer.map_err(|error| Failure::Http(Step::Asking, error))?;
            read(answer, progress).await
        };
        // What is wrong with the connection is told to whoever waits for the answer.
        let drive = async {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a receiver ended");
            }
            std::future::pending::<Infallible>().await
        };
        tokio::select! {
            read = talk => read,
            never = drive => match never {},
        }
    }
}

fn tls(roots: &[CertificateDer<'static>]) -> Result<ClientConfig, OutsideError> {
    let provider = CryptoProvider::get_default().ok_or(OutsideError::NoTlsProvider)?;
    let mut trusted = RootCertStore::empty();
    trusted.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for root in roots {
        trusted.add(root.clone())?;
    }
    if trusted.is_empty() {
        tracing::warn!("this machine trusts no certificate authority: nothing can be sent to https://");
    }
    let config =
        ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let mut config = config.with_root_certificates(trusted).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Tickets are as large as receivers like, and every receiver would leave some here.
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn request(call: Call<'_>) -> Result<Request<Full<Bytes>>, http::Error> {
    let mut request = Request::builder().method(call.method).uri(call.url.path_and_query());
    if let Some(headers) = request.headers_mut() {
        *headers = call.headers;
        headers.insert(HOST, HeaderValue::try_from(call.url.authority())?);
    }
    request.body(Full::new(call.body))
}

/// Notes the answer, and reads its body to the end or the limit.
async fn read(heard: Response<Incoming>, progress: &mut Progress) -> Result<Answer, Failure> {
    let retry_after = heard.headers().get(RETRY_AFTER).and_then(|asked| asked.to_str().ok());
    let answer = Answer { status: heard.status(), retry_after: retry_after.map(ToOwned::to_owned) };
    progress.answer = Some(answer.clone());
    progress.step = Step::Reading;
    let ends_by_itself =
        [CONTENT_LENGTH, TRANSFER_ENCODING].iter().any(|name| heard.headers().contains_key(name));
    let mut body = heard.into_body();
    while progress.response.len() < MOST_RESPONSE {
        let frame = match body.frame().await {
            Some(Ok(frame)) => frame,
            // Many servers let go of TLS without saying so, which matters only where more could have come.
            Some(Err(error)) if ends_by_itself || !is_end(&error) => {
                return Err(Failure::Http(Step::Reading, error));
            }
            Some(Err(_)) | None => break,
        };
        if let Some(data) = frame.data_ref() {
            let room = MOST_RESPONSE - progress.response.len();
            progress.response.extend_from_slice(&data[..data.len().min(room)]);
        }
    }
    Ok(answer)
}

/// What it means that an attempt ended so. A success is one when its answer has come to its end or to our limit; of anything
/// else the head has said enough.
fn conclude(
    ended: Result<Answer, Failure>,
    head: Option<&Answer>,
    means: impl Fn(&Answer) -> Outcome,
) -> (Outcome, String) {
    match ended {
        Ok(answer) => (means(&answer), complaint(answer.status)),
        Err(failure) => {
            let of_the_head = head.map(|answer| (means(answer), complaint(answer.status)));
            of_the_head
                .filter(|(outcome, _)| *outcome != Outcome::Delivered)
                .unwrap_or_else(|| (failure.outcome(), brief(failure.to_string()).into_owned()))
        }
    }
}

fn complaint(status: StatusCode) -> String {
    match status {
        _ if status.is_success() => String::new(),
        _ if status.is_redirection() => format!("the answer is {status}, and redirects are not followed"),
        _ => format!("the answer is {status}"),
    }
}

/// What happened; hyper says around it only while doing what.
fn last_cause(error: &hyper::Error) -> String {
    causes(error).last().map_or_else(|| error.to_string(), ToString::to_string)
}

fn is_end(error: &hyper::Error) -> bool {
    let cause = causes(error).find_map(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::UnexpectedEof)
}

fn causes(error: &hyper::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(std::error::Error::source(error), |error| error.source())
}

#[cfg(test)]
pub(crate) mod tests;
