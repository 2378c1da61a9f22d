//! How long the store is waited for by what runs for ever. A database whose host is gone without a word never answers, and a
//! part of the process that waited for it would stand still without saying so.

use std::time::Duration;

use cornjacket_store::StoreError;
use tokio::time::timeout;

/// How long an answer may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What the store answers, or that it does not within [`PATIENCE`]. What it was asked to do it may have done all the same.
pub(crate) async fn patient<T, E: From<StoreError>>(
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    patient_for(PATIENCE, answer).await
}

/// The same within `patience`.
pub(crate) async fn patient_for<T, E: From<StoreError>>(
    patience: Duration,
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    timeout(patience, answer).await.unwrap_or_else(|_| Err(StoreError::Silent(patience).into()))
}
