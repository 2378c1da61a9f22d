//! Hearing of events that other processes stored.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::StoreError;

/// The notification channel; the payload is the position that was stored.
pub(super) const CHANNEL: &str = "cornjacket_log";
const HEAD: &str = "select position from event_store.head";
/// A connection can die without a sign; asking now and then bounds how late we hear of it.
const ASK_AFTER: Duration = Duration::from_secs(5);
const RECONNECT_AFTER: Duration = Duration::from_millis(200);

/// Raises `head` whenever somebody stored events, until the task is aborted.
pub(super) fn spawn(pool: PgPool, head: watch::Sender<u64>) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            if let Err(error) = listen(&pool, &head).await {
                tracing::warn!(%error, "not listening to the log's notifications; trying again");
            }
            tokio::time::sleep(RECONNECT_AFTER).await;
        }
    })
}

async fn listen(pool: &PgPool, head: &watch::Sender<u64>) -> Result<(), StoreError> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    loop {
        // Armed before asking: what is stored from here on is either in the answer or notified.
        raise(head, sqlx::query_scalar::<_, i64>(HEAD).fetch_one(pool).await?.cast_unsigned());
        while let Ok(notification) = tokio::time::timeout(ASK_AFTER, listener.try_recv()).await {
            // Nothing: the connection was lost and with it, perhaps, notifications.
            let Some(notification) = notification? else { break };
            if let Ok(position) = notification.payload().parse() {
                raise(head, position);
            }
        }
    }
}

/// Heads never go back, whatever order news of them arrives in.
pub(super) fn raise(head: &watch::Sender<u64>, position: u64) {
    head.send_if_modified(|known| {
        let news = position > *known;
        *known = position.max(*known);
        news
    });
}
