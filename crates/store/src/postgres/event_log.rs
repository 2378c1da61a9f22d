//! The event log on PostgreSQL.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use cornjacket_domain::{Clock, ContentDigest, Event, EventKey, StoredEvent, Timestamp};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgExecutor, PgPool, Row};
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::snapshot::PostgresSnapshot;
use super::{PostgresStore, copy, wake};
use crate::StoreError;
use crate::event_log::{Appended, EventLog, EventLogSnapshot, Head, Range, read_statement};
use crate::numbering::{LedgerRow, Numbering};

const HEAD: &str = "select epoch, position, ingest_time from event_store.head";
// See 0005_append.sql.
const APPEND: &str =
    "select head_position, batch_time, known_keys, known_digests, known_positions, known_times
    from event_store.append($1, $2, $3, $4, $5, $6)";
const FIND: &str = "select l.position, l.ingest_time, l.type, l.subject, l.event
    from event_store.ledger k join event_store.log l using (position, ingest_time) where k.key = $1";
const TIME_AT: &str =
    "select ingest_time from event_store.log where position >= $1 order by position limit 1";
/// The event log in a [`PostgresStore`].
#[derive(Debug)]
pub struct PostgresEventLog {
    store: Arc<PostgresStore>,
    clock: Arc<dyn Clock>,
    head: watch::Sender<u64>,
    listener: AbortHandle,
}

impl PostgresEventLog {
    /// The log of `store`; `clock` gives the ingest times.
    pub async fn open(store: Arc<PostgresStore>, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let head = watch::Sender::new(fetch_head(&store.reader).await?.position);
        let listener = wake::spawn(store.reader.clone(), head.clone()).abort_handle();
        Ok(Self { store, clock, head, listener })
    }
}

impl Drop for PostgresEventLog {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

#[async_trait]
impl EventLog for PostgresEventLog {
    async fn append(&self, events: &[Event]) -> Result<Vec<Appended>, StoreError> {
        let (events_once, now) = (first_of_each(events), self.clock.now());
        let answer = if self.store.copies && events_once.len() >= copy::FROM {
            copy::append(&self.store.writer, &events_once, now).await?
        } else {
            call_append(&self.store.writer, &events_once, now).await?
        };
        let numbering = Numbering::new(events, answer.head_position, answer.ingest_time, answer.known);
        if !numbering.fresh.is_empty() {
            wake::raise(&self.head, answer.head_position + numbering.fresh.len() as u64);
        }
        Ok(numbering.outcomes)
    }

    async fn head(&self) -> Result<Head, StoreError> {
        fetch_head(&self.store.reader).await
    }

    async fn read(&self, range: &Range) -> Result<Vec<StoredEvent>, StoreError> {
        read(&self.store.reader, range).await
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    async fn drop_before(&self, time: Timestamp, keep_after: u64) -> Result<u64, StoreError> {
        super::retention::drop_before(&self.store.owner, time, keep_after).await
    }
}

#[async_trait]
impl EventLogSnapshot for PostgresSnapshot {
    async fn head(&mut self) -> Result<Head, StoreError> {
        fetch_head(&mut *self.0).await
    }

    async fn read(&mut self, range: &Range) -> Result<Vec<StoredEvent>, StoreError> {
        read(&mut *self.0, range).await
    }

    async fn find(&mut self, key: EventKey) -> Result<Option<StoredEvent>, StoreError> {
        let row = sqlx::query(FIND).bind(&key.as_bytes()[..]).fetch_optional(&mut *self.0).await?;
        row.as_ref().map(stored_event).transpose()
    }

    async fn time_at(&mut self, position: u64) -> Result<Option<Timestamp>, StoreError> {
        let time = sqlx::query_scalar(TIME_AT).bind(signed(position)).fetch_optional(&mut *self.0).await?;
        Ok(time.map(from_sql))
    }
}

async fn read<'e>(executor: impl PgExecutor<'e>, range: &Range) -> Result<Vec<StoredEvent>, StoreError> {
    let statement = read_statement("event_store.log", '$', range);
    let (after, until) = (signed(range.after), signed(range.until));
    let query = sqlx::query(AssertSqlSafe(statement)).bind(after).bind(until).bind(i64::from(range.limit));
    let query = range.select.texts().fold(query, sqlx::query::Query::bind);
    let rows = query.fetch_all(executor).await?;
    rows.iter().map(stored_event).collect()
}

async fn fetch_head<'e>(executor: impl PgExecutor<'e>) -> Result<Head, StoreError> {
    Ok(head(&sqlx::query(HEAD).fetch_one(executor).await?)?)
}

/// The events without those whose key came before.
fn first_of_each(events: &[Event]) -> Vec<&Event> {
    let mut seen = HashSet::with_capacity(events.len());
    events.iter().filter(|event| seen.insert(event.key())).collect()
}

/// What appending found.
pub(super) struct Answer {
    /// The last position before.
    pub head_position: u64,
    /// The time of what is new.
    pub ingest_time: Timestamp,
    /// The events that were stored before.
    pub known: HashMap<EventKey, LedgerRow>,
}

async fn call_append(pool: &PgPool, events: &[&Event], now: Timestamp) -> Result<Answer, StoreError> {
    let keys: Vec<_> = events.iter().map(|event| event.key()).collect();
    let digests: Vec<_> = events.iter().map(|event| event.digest()).collect();
    let row = sqlx::query(APPEND)
        .bind(to_sql(now))
        .bind(keys.iter().map(|key| &key.as_bytes()[..]).collect::<Vec<_>>())
        .bind(digests.iter().map(|digest| &digest.as_bytes()[..]).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.event_type()).collect::<Vec<_>>())
        .bind(events.iter().map(|event| event.subject()).collect::<Vec<_>>())
        .bind(events.iter().map(|event| &event.encoded()[..]).collect::<Vec<_>>())
        .fetch_one(pool)
        .await?;
    answer(&row)
}

pub(super) fn answer(row: &PgRow) -> Result<Answer, StoreError> {
    Ok(Answer {
        head_position: row.try_get::<i64, _>(0)?.cast_unsigned(),
        ingest_time: from_sql(row.try_get(1)?),
        known: known(row)?,
    })
}

/// The ledger's entries of an answer: four columns of arrays, or of nothing.
fn known(row: &PgRow) -> Result<HashMap<EventKey, LedgerRow>, sqlx::Error> {
    let Some(keys) = row.try_get::<Option<Vec<Vec<u8>>>, _>(2)? else { return Ok(HashMap::new()) };
    let digests: Vec<Vec<u8>> = row.try_get(3)?;
    let positions: Vec<i64> = row.try_get(4)?;
    let times: Vec<OffsetDateTime> = row.try_get(5)?;
    let entries = keys.into_iter().zip(digests).zip(positions.into_iter().zip(times));
    let entry = |((key, digest), (position, time)): ((Vec<u8>, Vec<u8>), (i64, OffsetDateTime))| {
        let digest = ContentDigest::from_bytes(fixed(&digest)?);
        let position = position.cast_unsigned();
        Ok((EventKey::from_bytes(fixed(&key)?), LedgerRow { digest, position, ingest_time: from_sql(time) }))
    };
    entries.map(entry).collect()
}

/// Positions above what PostgreSQL can store do not exist.
pub(super) fn signed(position: u64) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

pub(super) fn to_sql(time: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(time.as_micros()) * 1_000)
        .expect("a clock within the years 1 to 9999")
}

pub(super) fn from_sql(time: OffsetDateTime) -> Timestamp {
    let micros = time.unix_timestamp_nanos().div_euclid(1_000);
    Timestamp::from_micros(i64::try_from(micros).expect("PostgreSQL's range of times"))
}

fn head(row: &PgRow) -> Result<Head, sqlx::Error> {
    Ok(Head {
        epoch: row.try_get::<i32, _>(0)?.cast_unsigned(),
        position: row.try_get::<i64, _>(1)?.cast_unsigned(),
        ingest_time: from_sql(row.try_get(2)?),
    })
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], sqlx::Error> {
    bytes.try_into().map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

fn stored_event(row: &PgRow) -> Result<StoredEvent, StoreError> {
    Ok(StoredEvent {
        position: row.try_get::<i64, _>(0)?.cast_unsigned(),
        ingest_time: from_sql(row.try_get(1)?),
        event_type: row.try_get(2)?,
        subject: row.try_get(3)?,
        encoded: row.try_get::<Vec<u8>, _>(4)?.into(),
    })
}
