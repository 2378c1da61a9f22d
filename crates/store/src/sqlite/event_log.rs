//! The event log on SQLite.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use cornjacket_domain::{Clock, ContentDigest, Event, EventKey, StoredEvent, Timestamp};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row, SqliteExecutor};
use tokio::sync::watch;

use super::SqliteStore;
use super::rows::{Statements, cut, statements};
use super::snapshot::SqliteSnapshot;
use crate::StoreError;
use crate::event_log::{Appended, EventLog, EventLogSnapshot, Head, Range, read_statement};
use crate::numbering::{LedgerRow, Numbering};

const HEAD: &str = "select epoch, position, ingest_time from head";
const SET_HEAD: &str = "update head set position = ?, ingest_time = ?";
// Every statement is a turn of another thread: one for all keys.
const PROBE: &str = "select l.key, l.digest, l.position, l.ingest_time
    from json_each(?) wanted cross join ledger l on l.key = unhex(wanted.value)";
const FIND: &str = "select l.position, l.ingest_time, l.type, l.subject, l.event
    from ledger join log l using (position) where key = ?";
const TIME_AT: &str = "select ingest_time from log where position >= ? order by position limit 1";
const DROP_LOG: &str = "delete from log where position <= ?";
const DROP_LEDGER: &str = "delete from ledger where position <= ?";
const OLDEST: &str = "select coalesce(min(position), (select position + 1 from head)) from log";
const LAST_BEFORE: &str =
    "select coalesce(max(position), 0) from log where position <= ? and ingest_time < ?";

// `or rollback`: a statement that fails takes the transaction with it, so SQLite need not remember each page as it was
// before the statement, which would cost a third of the time.
static INSERT_LOG: LazyLock<Statements> = LazyLock::new(|| {
    statements("insert or rollback into log (position, ingest_time, type, subject, event) values ", 5, "")
});
static INSERT_LEDGER: LazyLock<Statements> = LazyLock::new(|| {
    statements("insert or rollback into ledger (key, digest, position, ingest_time) values ", 4, "")
});

/// The event log in a [`SqliteStore`].
#[derive(Debug)]
pub struct SqliteEventLog {
    store: Arc<SqliteStore>,
    clock: Arc<dyn Clock>,
    head: watch::Sender<u64>,
}

impl SqliteEventLog {
    /// The log of `store`; `clock` gives the ingest times.
    pub async fn open(store: Arc<SqliteStore>, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let position = fetch_head(&store.events.reader).await?.position;
        Ok(Self { store, clock, head: watch::Sender::new(position) })
    }
}

#[async_trait]
impl EventLog for SqliteEventLog {
    async fn append(&self, events: &[Event]) -> Result<Vec<Appended>, StoreError> {
        // Immediate: the append lock is taken before anything is read.
        let mut transaction = self.store.events.writer.begin_with("begin immediate").await?;
        let head = fetch_head(&mut *transaction).await?;
        let known = probe(&mut transaction, events).await?;
        let ingest_time = head.ingest_time.max(self.clock.now());
        let numbering = Numbering::new(events, head.position, ingest_time, known);
        if numbering.fresh.is_empty() {
            transaction.rollback().await?;
            return Ok(numbering.outcomes);
        }
        insert(&mut transaction, head.position, &numbering).await?;
        let position = head.position + numbering.fresh.len() as u64;
        let set_head = sqlx::query(SET_HEAD).bind(position.cast_signed()).bind(ingest_time.as_micros());
        set_head.execute(&mut *transaction).await?;
        transaction.commit().await?;
        self.head.send_replace(position);
        Ok(numbering.outcomes)
    }

    async fn head(&self) -> Result<Head, StoreError> {
        fetch_head(&self.store.events.reader).await
    }

    async fn read(&self, range: &Range) -> Result<Vec<StoredEvent>, StoreError> {
        read(&self.store.events.reader, range).await
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    async fn drop_before(&self, time: Timestamp, keep_after: u64) -> Result<u64, StoreError> {
        let mut transaction = self.store.events.writer.begin_with("begin immediate").await?;
        let midnight = Timestamp::from_day(time.day()).as_micros();
        let last = sqlx::query_scalar(LAST_BEFORE).bind(signed(keep_after)).bind(midnight);
        let last: i64 = last.fetch_one(&mut *transaction).await?;
        for statement in [DROP_LOG, DROP_LEDGER] {
            sqlx::query(statement).bind(last).execute(&mut *transaction).await?;
        }
        let oldest: i64 = sqlx::query_scalar(OLDEST).fetch_one(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(oldest.cast_unsigned())
    }
}

#[async_trait]
impl EventLogSnapshot for SqliteSnapshot {
    async fn head(&mut self) -> Result<Head, StoreError> {
        fetch_head(self.events().await?).await
    }

    async fn read(&mut self, range: &Range) -> Result<Vec<StoredEvent>, StoreError> {
        read(self.events().await?, range).await
    }

    async fn find(&mut self, key: EventKey) -> Result<Option<StoredEvent>, StoreError> {
        let row = sqlx::query(FIND).bind(&key.as_bytes()[..]).fetch_optional(self.events().await?).await?;
        row.as_ref().map(stored_event).transpose()
    }

    async fn time_at(&mut self, position: u64) -> Result<Option<Timestamp>, StoreError> {
        let query = sqlx::query_scalar(TIME_AT).bind(signed(position));
        Ok(query.fetch_optional(self.events().await?).await?.map(Timestamp::from_micros))
    }
}

async fn read<'e>(executor: impl SqliteExecutor<'e>, range: &Range) -> Result<Vec<StoredEvent>, StoreError> {
    let statement = read_statement("log", '?', range);
    let (after, until) = (signed(range.after), signed(range.until));
    let query = sqlx::query(AssertSqlSafe(statement)).bind(after).bind(until).bind(range.limit);
    let query = range.select.texts().fold(query, sqlx::query::Query::bind);
    let rows = query.fetch_all(executor).await?;
    rows.iter().map(stored_event).collect()
}

/// Positions above what SQLite can store do not exist.
pub(super) fn signed(position: u64) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

async fn fetch_head<'e>(executor: impl SqliteExecutor<'e>) -> Result<Head, StoreError> {
    let row = sqlx::query(HEAD).fetch_one(executor).await?;
    Ok(Head {
        epoch: row.try_get(0)?,
        position: row.try_get::<i64, _>(1)?.cast_unsigned(),
        ingest_time: Timestamp::from_micros(row.try_get(2)?),
    })
}

async fn probe(
    connection: &mut SqliteConnection,
    events: &[Event],
) -> Result<HashMap<EventKey, LedgerRow>, StoreError> {
    let mut keys: Vec<EventKey> = events.iter().map(Event::key).collect();
    // In order, neighbours are found on the page that was just read.
    keys.sort_unstable();
    let rows = sqlx::query(PROBE).bind(hex_list(&keys)).fetch_all(connection).await?;
    rows.iter().map(|row| Ok((EventKey::from_bytes(fixed(row, 0)?), ledger_row(row)?))).collect()
}

/// A JSON array of hexadecimal keys.
fn hex_list(keys: &[EventKey]) -> String {
    let mut list = String::with_capacity(keys.len() * 35 + 2);
    for key in keys {
        list.push_str(if list.is_empty() { "[\"" } else { "\",\"" });
        for byte in key.as_bytes() {
            for digit in [byte >> 4, byte & 15] {
                list.push(char::from_digit(digit.into(), 16).expect("four bits"));
            }
        }
    }
    list.push_str(if list.is_empty() { "[]" } else { "\"]" });
    list
}

async fn insert(
    connection: &mut SqliteConnection,
    head: u64,
    numbering: &Numbering<'_>,
) -> Result<(), StoreError> {
    let time = numbering.ingest_time.as_micros();
    let mut position = signed(head);
    for (which, events) in cut(&numbering.fresh) {
        let mut log = sqlx::query(AssertSqlSafe(INSERT_LOG[which].as_str()));
        let mut ledger = sqlx::query(AssertSqlSafe(INSERT_LEDGER[which].as_str()));
        for event in events {
            position += 1;
            log = log.bind(position).bind(time).bind(event.event_type()).bind(event.subject());
            log = log.bind(&event.encoded()[..]);
            ledger = ledger.bind(event.key().as_bytes().to_vec()).bind(event.digest().as_bytes().to_vec());
            ledger = ledger.bind(position).bind(time);
        }
        log.execute(&mut *connection).await?;
        ledger.execute(&mut *connection).await?;
    }
    Ok(())
}

fn ledger_row(row: &SqliteRow) -> Result<LedgerRow, StoreError> {
    Ok(LedgerRow {
        digest: ContentDigest::from_bytes(fixed(row, 1)?),
        position: row.try_get::<i64, _>(2)?.cast_unsigned(),
        ingest_time: Timestamp::from_micros(row.try_get(3)?),
    })
}

fn fixed<const N: usize>(row: &SqliteRow, column: usize) -> Result<[u8; N], sqlx::Error> {
    let bytes: &[u8] = row.try_get(column)?;
    bytes
        .try_into()
        .map_err(|error| sqlx::Error::ColumnDecode { index: column.to_string(), source: Box::new(error) })
}

fn stored_event(row: &SqliteRow) -> Result<StoredEvent, StoreError> {
    Ok(StoredEvent {
        position: row.try_get::<i64, _>(0)?.cast_unsigned(),
        ingest_time: Timestamp::from_micros(row.try_get(1)?),
        event_type: row.try_get(2)?,
        subject: row.try_get(3)?,
        encoded: row.try_get::<Vec<u8>, _>(4)?.into(),
    })
}
