//! The event log on PostgreSQL.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use cornjacket_domain::{Clock, ContentDigest, Event, EventKey, StoredEvent, Timestamp};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{PgExecutor, Row};
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::{PostgresStore, wake};
use crate::StoreError;
use crate::event_log::{Appended, EventLog, Head, Range, Select};
use crate::numbering::{LedgerRow, Numbering};

/// Partitions are made this many days ahead, so that midnight finds them there.
const DAYS_AHEAD: i64 = 7;

const HEAD: &str = "select epoch, position, ingest_time from event_store.head";
// A statement of its own: the next one sees what the last holder of the lock committed.
const LOCK: &str = "select epoch, position, ingest_time, partitioned_until - date 'epoch'
    from event_store.head for update";
const PROBE: &str = "select key, digest, position, ingest_time from event_store.ledger
    where key = any($1) and ingest_time <= $2";
const ADD_DAY: &str = "select event_store.add_day(date 'epoch' + $1)";
const SET_PARTITIONED: &str = "update event_store.head set partitioned_until = date 'epoch' + $1";
// One statement is one round trip, and the lock is held for the shorter.
const STORE: &str = "with head as (
        update event_store.head set position = $1, ingest_time = $2
    ), log as (
        insert into event_store.log (position, ingest_time, type, subject, event)
        select $3 + n, $2, type, subject, event
        from unnest($4::text[], $5::text[], $6::bytea[]) with ordinality as fresh (type, subject, event, n)
    ), ledger as (
        insert into event_store.ledger (key, digest, position, ingest_time)
        select key, digest, $3 + n, $2
        from unnest($7::bytea[], $8::bytea[]) with ordinality as fresh (key, digest, n)
    ) select pg_notify('cornjacket_log', $1::text)";
const FIND: &str = "select l.position, l.ingest_time, l.type, l.subject, l.event
    from event_store.ledger k join event_store.log l using (position, ingest_time) where k.key = $1";
const TIME_AT: &str =
    "select ingest_time from event_store.log where position >= $1 order by position limit 1";
const READ: &str = "select position, ingest_time, type, subject, event from event_store.log
    where position > $1 and position <= $2 order by position limit $3";
const READ_SUBJECT: &str = "select position, ingest_time, type, subject, event from event_store.log
    where position > $1 and position <= $2 and subject = $4 order by position limit $3";
const READ_TYPE: &str = "select position, ingest_time, type, subject, event from event_store.log
    where position > $1 and position <= $2 and type = $4 order by position limit $3";

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
        let mut transaction = self.store.writer.begin().await?;
        let locked = lock(&mut transaction).await?;
        let ingest_time = locked.head.ingest_time.max(self.clock.now());
        let known = probe(&mut transaction, events, ingest_time).await?;
        let numbering = Numbering::new(events, locked.head.position, ingest_time, known);
        if numbering.fresh.is_empty() {
            transaction.rollback().await?;
            return Ok(numbering.outcomes);
        }
        add_days(&mut transaction, locked.partitioned_until, ingest_time.day()).await?;
        let position = store(&mut transaction, locked.head.position, &numbering).await?;
        transaction.commit().await?;
        wake::raise(&self.head, position);
        Ok(numbering.outcomes)
    }

    async fn head(&self) -> Result<Head, StoreError> {
        fetch_head(&self.store.reader).await
    }

    async fn read(&self, range: &Range) -> Result<Vec<StoredEvent>, StoreError> {
        let query = match &range.select {
            Select::All => sqlx::query(READ),
            Select::Subject(_) => sqlx::query(READ_SUBJECT),
            Select::Type(_) => sqlx::query(READ_TYPE),
        };
        let mut query =
            query.bind(signed(range.after)).bind(signed(range.until)).bind(i64::from(range.limit));
        if let Select::Subject(name) | Select::Type(name) = &range.select {
            query = query.bind(name);
        }
        let rows = query.fetch_all(&self.store.reader).await?;
        rows.iter().map(stored_event).collect()
    }

    async fn find(&self, key: EventKey) -> Result<Option<StoredEvent>, StoreError> {
        let row = sqlx::query(FIND).bind(&key.as_bytes()[..]).fetch_optional(&self.store.reader).await?;
        row.as_ref().map(stored_event).transpose()
    }

    async fn time_at(&self, position: u64) -> Result<Option<Timestamp>, StoreError> {
        let time =
            sqlx::query_scalar(TIME_AT).bind(signed(position)).fetch_optional(&self.store.reader).await?;
        Ok(time.map(from_sql))
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    async fn drop_before(&self, time: Timestamp, keep_after: u64) -> Result<u64, StoreError> {
        super::retention::drop_before(&self.store.writer, time, keep_after).await
    }
}

struct Locked {
    head: Head,
    /// Days since 1970.
    partitioned_until: i64,
}

async fn lock(connection: &mut PgConnection) -> Result<Locked, StoreError> {
    let row = sqlx::query(LOCK).fetch_one(connection).await?;
    Ok(Locked { head: head(&row)?, partitioned_until: row.try_get::<i32, _>(3)?.into() })
}

async fn fetch_head<'e>(executor: impl PgExecutor<'e>) -> Result<Head, StoreError> {
    Ok(head(&sqlx::query(HEAD).fetch_one(executor).await?)?)
}

async fn probe(
    connection: &mut PgConnection,
    events: &[Event],
    until: Timestamp,
) -> Result<HashMap<EventKey, LedgerRow>, StoreError> {
    let mut keys: Vec<EventKey> = events.iter().map(Event::key).collect();
    // In order, neighbours are found on the index page that was just read.
    keys.sort_unstable();
    let keys: Vec<&[u8]> = keys.iter().map(|key| &key.as_bytes()[..]).collect();
    let rows = sqlx::query(PROBE).bind(keys).bind(to_sql(until)).fetch_all(connection).await?;
    Ok(rows.iter().map(ledger_row).collect::<Result<_, _>>()?)
}

/// Makes the partitions from the last made to a week from `today`, when `today` has none or tomorrow has none.
async fn add_days(connection: &mut PgConnection, made_until: i64, today: i64) -> Result<(), StoreError> {
    if today + 1 < made_until {
        return Ok(());
    }
    let until = today + DAYS_AHEAD + 1;
    for day in made_until.max(today)..until {
        sqlx::query(ADD_DAY).bind(days(day)).execute(&mut *connection).await?;
    }
    sqlx::query(SET_PARTITIONED).bind(days(until)).execute(&mut *connection).await?;
    Ok(())
}

async fn store(
    connection: &mut PgConnection,
    head: u64,
    numbering: &Numbering<'_>,
) -> Result<u64, StoreError> {
    let fresh = &numbering.fresh;
    let position = head + fresh.len() as u64;
    let keys: Vec<_> = fresh.iter().map(|event| event.key()).collect();
    let digests: Vec<_> = fresh.iter().map(|event| event.digest()).collect();
    sqlx::query(STORE)
        .bind(signed(position))
        .bind(to_sql(numbering.ingest_time))
        .bind(signed(head))
        .bind(fresh.iter().map(|event| event.event_type()).collect::<Vec<_>>())
        .bind(fresh.iter().map(|event| event.subject()).collect::<Vec<_>>())
        .bind(fresh.iter().map(|event| &event.encoded()[..]).collect::<Vec<_>>())
        .bind(keys.iter().map(|key| &key.as_bytes()[..]).collect::<Vec<_>>())
        .bind(digests.iter().map(|digest| &digest.as_bytes()[..]).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(position)
}

/// Positions above what PostgreSQL can store do not exist.
fn signed(position: u64) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

fn days(day: i64) -> i32 {
    i32::try_from(day).expect("a day within protobuf's range of times")
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

fn ledger_row(row: &PgRow) -> Result<(EventKey, LedgerRow), sqlx::Error> {
    let key = EventKey::from_bytes(fixed(row, 0)?);
    let digest = ContentDigest::from_bytes(fixed(row, 1)?);
    let position = row.try_get::<i64, _>(2)?.cast_unsigned();
    Ok((key, LedgerRow { digest, position, ingest_time: from_sql(row.try_get(3)?) }))
}

fn fixed<const N: usize>(row: &PgRow, column: usize) -> Result<[u8; N], sqlx::Error> {
    let bytes: &[u8] = row.try_get(column)?;
    bytes
        .try_into()
        .map_err(|error| sqlx::Error::ColumnDecode { index: column.to_string(), source: Box::new(error) })
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
