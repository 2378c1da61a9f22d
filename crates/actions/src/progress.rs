//! How far an attempt has come. It outlives the attempt, which may be cut off anywhere.

use std::fmt;
use std::net::SocketAddr;

use http::StatusCode;

/// What an attempt is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Step {
    /// The name's addresses are looked for.
    #[default]
    Resolving,
    /// An address is dialled.
    Connecting,
    /// TLS is agreed on.
    Securing,
    /// The request is sent, and the head of the answer waited for.
    Asking,
    /// The body of the answer is read.
    Reading,
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Resolving => "resolving the name",
            Self::Connecting => "connecting",
            Self::Securing => "agreeing on TLS",
            Self::Asking => "waiting for the answer",
            Self::Reading => "reading the answer's body",
        })
    }
}

/// The head of an answer, as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: StatusCode,
    pub retry_after: Option<String>,
}

/// What is known of an attempt by now.
#[derive(Debug, Default)]
pub struct Progress {
    /// What it is at.
    pub step: Step,
    /// The address that was dialled last.
    pub address: Option<SocketAddr>,
    /// What was answered.
    pub answer: Option<Answer>,
    /// The beginning of the answer's body.
    pub response: Vec<u8>,
}
