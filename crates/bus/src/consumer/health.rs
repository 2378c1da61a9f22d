//! How a consumer is doing.

/// How a consumer is doing. Only `Stuck` is mended by starting anew; everything else either works or knows what it waits
/// for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It handles what comes.
    Running,
    /// It waits for something of ours to come back.
    Waiting {
        /// What went wrong.
        reason: String,
    },
    /// An operator has paused it.
    Paused,
    /// It handles what comes, but for keys whose records cannot be handled.
    Parked {
        /// How many keys, in the partitions that it owns.
        keys: usize,
    },
    /// It makes no progress and waits for nothing.
    Stuck,
}

impl State {
    /// The name for operators.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting { .. } => "waiting",
            Self::Paused => "paused",
            Self::Parked { .. } => "parked",
            Self::Stuck => "stuck",
        }
    }

    /// Why, for operators; empty when there is nothing to say.
    pub fn reason(&self) -> String {
        match self {
            Self::Running | Self::Paused | Self::Stuck => String::new(),
            Self::Waiting { reason } => reason.clone(),
            Self::Parked { keys } => format!("{keys} keys"),
        }
    }
}
