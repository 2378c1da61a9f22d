//! Why a token is refused: the only table of reasons.

use std::time::Duration;

use cornjacket_proto::status::{ErrorKind, Failure};

/// When to come back while keys cannot be fetched: by then it has been tried again.
pub const RETRY_KEYS: Duration = Duration::from_secs(10);

/// Why a token is refused. The caller is told which, and nothing about our keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is none.
    Missing,
    /// It is no token; the text says what is wrong with it.
    Malformed(&'static str),
    /// It has ended.
    Expired,
    /// It has not begun.
    NotYetValid,
    /// It was not signed by the key that it names.
    SignatureInvalid,
    /// It is signed in a way that is not allowed, or not the one that its key is for.
    AlgorithmRefused,
    /// It has a header that must be understood, and is not (RFC 7515, section 4.1.11).
    CriticalHeader,
    /// It is for somebody else.
    AudienceMismatch,
    /// It is from somebody else.
    IssuerMismatch,
    /// It names a key that is not ours.
    KeyUnknown,
    /// It lives for too long.
    LifetimeTooLong,
    /// It names a key that is not known, and may only be so because keys cannot be fetched.
    KeysUnavailable,
}

impl Refusal {
    /// The stable name, for programs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Missing => "TOKEN_MISSING",
            Self::Malformed(_) => "TOKEN_MALFORMED",
            Self::Expired => "TOKEN_EXPIRED",
            Self::NotYetValid => "TOKEN_NOT_YET_VALID",
            Self::SignatureInvalid => "SIGNATURE_INVALID",
            Self::AlgorithmRefused => "ALGORITHM_REFUSED",
            Self::CriticalHeader => "CRITICAL_HEADER",
            Self::AudienceMismatch => "AUDIENCE_MISMATCH",
            Self::IssuerMismatch => "ISSUER_MISMATCH",
            Self::KeyUnknown => "KEY_UNKNOWN",
            Self::LifetimeTooLong => "LIFETIME_TOO_LONG",
            Self::KeysUnavailable => "KEYS_UNAVAILABLE",
        }
    }

    const fn message(self) -> &'static str {
        match self {
            Self::Missing => "no token: send `authorization: Bearer <token>`",
            Self::Malformed(what) => what,
            Self::Expired => "the token has expired",
            Self::NotYetValid => "the token is not valid yet",
            Self::SignatureInvalid => "the token's signature is not valid",
            Self::AlgorithmRefused => "the token's algorithm is not accepted",
            Self::CriticalHeader => "the token has a critical header, which is not supported",
            Self::AudienceMismatch => "the token is for another audience",
            Self::IssuerMismatch => "the token is from another issuer",
            Self::KeyUnknown => "the token's key is not known",
            Self::LifetimeTooLong => "the token lives for too long",
            Self::KeysUnavailable => "the token cannot be checked now",
        }
    }

    /// Whether it says something about us and not about the token.
    pub fn is_outage(self) -> bool {
        self == Self::KeysUnavailable
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let kind = if refusal.is_outage() { ErrorKind::Unavailable } else { ErrorKind::Unauthenticated };
        let failure = Self::new(kind, refusal.message()).with_reason(refusal.reason(), []);
        if refusal.is_outage() { failure.with_retry_after(RETRY_KEYS) } else { failure }
    }
}
