//! What a failure of a handler's means.

use super::{AnyError, HandlerError};

impl HandlerError {
    /// What a store's failure means: that an event is `unfit` for it is the event's fault, all else is not.
    pub fn of_store(unfit: bool, error: impl Into<AnyError>) -> Self {
        if unfit { Self::Unfit(error.into()) } else { Self::Retry(error.into()) }
    }
}
