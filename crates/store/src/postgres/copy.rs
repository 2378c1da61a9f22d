//! Appending by COPY: for large batches over a Unix socket.
//!
//! COPY puts many rows into a page and a record of the write-ahead log at once, where INSERT puts one, so it takes a third
//! off the time that the append lock is held. It costs more round trips, which is why small batches go another way; and
//! over TCP each of its messages would wait for the acknowledgement of the one before (sqlx 0.9 leaves Nagle's algorithm
//! on), which is why TCP does.

use cornjacket_domain::{Event, Timestamp};
use sqlx::PgPool;

use super::event_log::{Answer, answer, to_sql};
use crate::StoreError;

/// Batches of at least so many events are copied.
pub(super) const FROM: usize = 500;

// See 0005_append.sql.
const BEGIN: &str =
    "select head_position, batch_time, known_keys, known_digests, known_positions, known_times
    from event_store.begin_append($1, $2)";
const LOG: &str =
    "copy event_store.log (position, ingest_time, type, subject, event) from stdin (format binary)";
const LEDGER: &str =
    "copy event_store.ledger (key, digest, position, ingest_time) from stdin (format binary)";
const END: &str = "select event_store.end_append($1, $2)";

/// The binary COPY format (PostgreSQL's documentation, under COPY): signature, flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: &[u8] = &[0xff, 0xff];
/// 2000-01-01 in microseconds since 1970: where PostgreSQL's binary times begin.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

/// As `event_store.append` does it. Keys are distinct.
pub(super) async fn append(pool: &PgPool, events: &[&Event], now: Timestamp) -> Result<Answer, StoreError> {
    let keys: Vec<_> = events.iter().map(|event| event.key()).collect();
    let mut transaction = pool.begin().await?;
    let row = sqlx::query(BEGIN)
        .bind(to_sql(now))
        .bind(keys.iter().map(|key| &key.as_bytes()[..]).collect::<Vec<_>>())
        .fetch_one(&mut *transaction)
        .await?;
    let answer = answer(&row)?;
    let fresh: Vec<&Event> =
        events.iter().copied().filter(|event| !answer.known.contains_key(&event.key())).collect();
    if fresh.is_empty() {
        transaction.rollback().await?;
        return Ok(answer);
    }
    let (log, ledger) = rows(&fresh, answer.head_position + 1, answer.ingest_time);
    for (statement, rows) in [(LOG, log), (LEDGER, ledger)] {
        let mut copy = transaction.copy_in_raw(statement).await?;
        copy.send(rows).await?;
        copy.finish().await?;
    }
    let last = answer.head_position + fresh.len() as u64;
    sqlx::query(END)
        .bind(last.cast_signed())
        .bind(to_sql(answer.ingest_time))
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(answer)
}

/// The rows of log and ledger for events at the positions from `first` on, each in the binary COPY format.
pub fn rows(events: &[&Event], first: u64, ingest_time: Timestamp) -> (Vec<u8>, Vec<u8>) {
    let bytes: usize = events.iter().map(|event| event.encoded().len() + 128).sum();
    let (mut log, mut ledger) = (Vec::with_capacity(bytes), Vec::with_capacity(100 * events.len()));
    log.extend_from_slice(HEADER);
    ledger.extend_from_slice(HEADER);
    let time = (ingest_time.as_micros() - POSTGRES_EPOCH).to_be_bytes();
    for (position, event) in (first..).zip(events) {
        let position = position.to_be_bytes();
        let (event_type, subject) = (event.event_type().as_bytes(), event.subject().as_bytes());
        row(&mut log, [&position, &time, event_type, subject, event.encoded()]);
        row(&mut ledger, [event.key().as_bytes(), event.digest().as_bytes(), &position, &time]);
    }
    log.extend_from_slice(TRAILER);
    ledger.extend_from_slice(TRAILER);
    (log, ledger)
}

fn row<const N: usize>(rows: &mut Vec<u8>, fields: [&[u8]; N]) {
    let count = i16::try_from(N).expect("a handful of columns");
    rows.extend_from_slice(&count.to_be_bytes());
    for field in fields {
        let length = i32::try_from(field.len()).expect("an event within its limit");
        rows.extend_from_slice(&length.to_be_bytes());
        rows.extend_from_slice(field);
    }
}
