//! What a handler says when it has not handled events.

/// Any error.
pub type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Why events were not handled.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// Something of ours is not available: the same events again, later.
    #[error("{0}")]
    Retry(#[source] AnyError),
    /// One of the events cannot be stored, and which one is not known.
    #[error("{0}")]
    Unfit(#[source] AnyError),
    /// An event can never be handled.
    #[error("position {position}: {source}")]
    Reject {
        /// The event's position.
        position: u64,
        /// Why.
        #[source]
        source: AnyError,
    },
}

impl HandlerError {
    /// What a store's failure means: that an event is `unfit` for it is the event's fault, all else is not.
    pub fn of_store(unfit: bool, error: impl Into<AnyError>) -> Self {
        if unfit { Self::Unfit(error.into()) } else { Self::Retry(error.into()) }
    }
}
