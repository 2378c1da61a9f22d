//! Why a sample has no score.

use std::fmt::Display;

/// A reason is stored beside every sample that it keeps from a score: no longer than this, in characters.
const LONGEST: usize = 200;

/// Why a server has not said anything of a request's samples.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// It took too long.
    #[error("no answer within {0} ms")]
    Deadline(u32),
    /// The connection could not be had, or broke.
    #[error("not reached: {0}")]
    Unreachable(String),
    /// It answered that it cannot.
    #[error("the answer is HTTP {0}")]
    Status(u16),
    /// It answered with something else than scores.
    #[error("nonsense: {0}")]
    Nonsense(String),
}

impl Failure {
    /// An answer that says something that cannot be.
    pub fn nonsense(what: impl Into<String>) -> Self {
        Self::Nonsense(what.into())
    }

    /// Its name in metrics.
    pub const fn outcome(&self) -> &'static str {
        match self {
            Self::Deadline(_) => "deadline",
            Self::Unreachable(_) => "unreachable",
            Self::Status(_) => "status",
            Self::Nonsense(_) => "nonsense",
        }
    }
}

/// Short enough to be stored, and fit for it: a server may have had a hand in it.
pub(crate) fn brief(reason: &impl Display) -> String {
    let text = reason.to_string();
    text.chars().map(|one| if one.is_control() { ' ' } else { one }).take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_short_and_without_control_characters() {
        let long = brief(&Failure::nonsense(format!("\0\n{}", "ö".repeat(1_000))));
        assert!(long.starts_with("nonsense:   ö") && long.chars().count() == LONGEST);
    }
}
