//! Dead letters on SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use cornjacket_domain::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::SqliteStore;
use super::offsets::SqliteTx;
use crate::StoreError;
use crate::dead_letters::{
    DeadLetter, DeadLetters, DeadLettersTx, LetterFilter, LetterId, ParkedQueue, Settled, Settlement,
};
use crate::offsets::{ConsumerPartition, topic_name};

const PARKED: &str = "select key from parked_keys
    where consumer = ?1 and topic = ?2 and partition = ?3";
const SIZE: &str = "select count(*), coalesce(sum(length(value)), 0) from dead_letters
    where consumer = ?1 and topic = ?2 and partition = ?3";
const TO_REDRIVE: &str = "select key from parked_keys
    where consumer = ?1 and topic = ?2 and partition = ?3 and redrive order by key limit 1";
const QUEUE: &str =
    "select consumer, topic, partition, record_offset, key, position, ingest_time, epoch, format, value,
        error, attempts, first_time, last_time, discarded
    from dead_letters
    where consumer = ?1 and topic = ?2 and partition = ?3 and key = ?4 order by record_offset limit ?5";
const LIST: &str =
    "select consumer, topic, partition, record_offset, key, position, ingest_time, epoch, format, value,
        error, attempts, first_time, last_time, discarded
    from dead_letters
    where (consumer, topic, partition, record_offset) > (?1, ?2, ?3, ?4)
        and (?5 is null or consumer = ?5) and (?6 is null or topic = ?6)
        and (?7 is null or key = ?7)
    order by consumer, topic, partition, record_offset limit ?8";
const GET: &str =
    "select consumer, topic, partition, record_offset, key, position, ingest_time, epoch, format, value,
        error, attempts, first_time, last_time, discarded
    from dead_letters
    where consumer = ?1 and topic = ?2 and partition = ?3 and record_offset = ?4";
const MARK_REDRIVE: &str = "update parked_keys set redrive = true
    where (?1 is null or consumer = ?1) and (?2 is null or topic = ?2)
        and (?3 is null or key = ?3)";
const DISCARD: &str = "update dead_letters set discarded = ?5
    where consumer = ?1 and topic = ?2 and partition = ?3 and record_offset = ?4";
const MARK_KEY_OF: &str = "update parked_keys set redrive = true where (consumer, topic, partition, key) in (
        select consumer, topic, partition, key from dead_letters
        where consumer = ?1 and topic = ?2 and partition = ?3 and record_offset = ?4)";
const EXPIRE: &str =
    "update dead_letters set discarded = 'expired' where first_time < ?1 and discarded is null";
const MARK_EXPIRED: &str =
    "update parked_keys set redrive = true where (consumer, topic, partition, key) in (
        select consumer, topic, partition, key from dead_letters where first_time < ?1)";
const PARK_KEY: &str = "insert into parked_keys (consumer, topic, partition, key)
    values (?1, ?2, ?3, ?4) on conflict do nothing";
// A bus that begins anew gives offsets again, and the log has none: letters stay in order, and none takes another's place.
const PARK: &str = "insert into dead_letters (consumer, topic, partition, record_offset, key, position,
        ingest_time, epoch, format, value, error, attempts, first_time, last_time)
    values (?1, ?2, ?3, max(?4, coalesce(1 + (
            select max(record_offset) from dead_letters where consumer = ?1 and topic = ?2 and partition = ?3), 0)),
        ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
// The consumer came past a letter when it was parked: what says that its effect was in by then is not true of it.
const FORGET: &str =
    "delete from milestones where consumer = ?1 and topic = ?2 and partition = ?3 and after_position < (
        select max(position) from dead_letters
        where consumer = ?1 and topic = ?2 and partition = ?3 and key = ?4 and record_offset < ?5
    ) and exists (
        select 1 from dead_letters letter
        where letter.consumer = ?1 and letter.topic = ?2 and letter.partition = ?3 and letter.key = ?4
            and letter.record_offset < ?5
            and letter.position > after_position and letter.position <= milestones.last_position)";
const SETTLE: &str = "delete from dead_letters
    where consumer = ?1 and topic = ?2 and partition = ?3 and key = ?4 and record_offset < ?5";
const FAIL: &str = "update dead_letters set error = ?5, attempts = attempts + 1, last_time = ?6
    where consumer = ?1 and topic = ?2 and partition = ?3 and record_offset = ?4";
// Not when an operator has given the letter up meanwhile, and is promised that what waits behind it flows.
const UNMARK: &str = "update parked_keys set redrive = false
    where consumer = ?1 and topic = ?2 and partition = ?3 and key = ?4 and not exists (
        select 1 from dead_letters
        where consumer = ?1 and topic = ?2 and partition = ?3 and record_offset = ?5
            and discarded is not null)";
const FREE: &str = "delete from parked_keys
    where consumer = ?1 and topic = ?2 and partition = ?3 and key = ?4 and not exists (
        select 1 from dead_letters
        where consumer = ?1 and topic = ?2 and partition = ?3 and key = ?4)";

/// Dead letters in a [`SqliteStore`].
#[derive(Debug)]
pub struct SqliteDeadLetters(Arc<SqliteStore>);

impl SqliteDeadLetters {
    /// The dead letters of `store`.
    pub const fn new(store: Arc<SqliteStore>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl DeadLetters for SqliteDeadLetters {
    async fn parked(&self, at: &ConsumerPartition) -> Result<Vec<Bytes>, StoreError> {
        let query = sqlx::query_scalar(PARKED).bind(&at.consumer).bind(at.topic).bind(at.partition);
        let keys: Vec<Vec<u8>> = query.fetch_all(&self.0.timeseries.reader).await?;
        Ok(keys.into_iter().map(Bytes::from).collect())
    }

    async fn size(&self, at: &ConsumerPartition) -> Result<(u64, u64), StoreError> {
        let query = sqlx::query_as(SIZE).bind(&at.consumer).bind(at.topic).bind(at.partition);
        let (rows, bytes): (i64, i64) = query.fetch_one(&self.0.timeseries.reader).await?;
        Ok((rows.cast_unsigned(), bytes.cast_unsigned()))
    }

    async fn to_redrive(
        &self,
        at: &ConsumerPartition,
        limit: u32,
    ) -> Result<Option<ParkedQueue>, StoreError> {
        let query = sqlx::query_scalar(TO_REDRIVE).bind(&at.consumer).bind(at.topic).bind(at.partition);
        let Some(key) = query.fetch_optional(&self.0.timeseries.reader).await? else { return Ok(None) };
        let key: Vec<u8> = key;
        let rows = sqlx::query(QUEUE)
            .bind(&at.consumer)
            .bind(at.topic)
            .bind(at.partition)
            .bind(&key)
            .bind(limit)
            .fetch_all(&self.0.timeseries.reader)
            .await?;
        let letters = rows.iter().map(letter).collect::<Result<_, _>>()?;
        Ok(Some(ParkedQueue { key: key.into(), letters }))
    }

    async fn list(
        &self,
        filter: &LetterFilter,
        after: Option<&LetterId>,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let rows = sqlx::query(LIST)
            .bind(after.map_or("", |after| &after.consumer))
            .bind(after.map_or("", |after| &after.topic))
            .bind(after.map_or(-1, |after| i64::from(after.partition)))
            .bind(after.map_or(-1, |after| after.offset.cast_signed()))
            .bind(&filter.consumer)
            .bind(&filter.topic)
            .bind(filter.key.as_deref())
            .bind(limit)
            .fetch_all(&self.0.timeseries.reader)
            .await?;
        rows.iter().map(letter).collect()
    }

    async fn get(&self, id: &LetterId) -> Result<Option<DeadLetter>, StoreError> {
        let row = sqlx::query(GET)
            .bind(&id.consumer)
            .bind(&id.topic)
            .bind(id.partition)
            .bind(id.offset.cast_signed())
            .fetch_optional(&self.0.timeseries.reader)
            .await?;
        row.as_ref().map(letter).transpose()
    }

    async fn mark_redrive(&self, filter: &LetterFilter) -> Result<u64, StoreError> {
        let query =
            sqlx::query(MARK_REDRIVE).bind(&filter.consumer).bind(&filter.topic).bind(filter.key.as_deref());
        Ok(query.execute(&self.0.timeseries.writer).await?.rows_affected())
    }

    async fn discard(&self, id: &LetterId, reason: &str) -> Result<bool, StoreError> {
        let mut transaction = self.0.timeseries.writer.begin().await?;
        let offset = id.offset.cast_signed();
        let discard = sqlx::query(DISCARD).bind(&id.consumer).bind(&id.topic).bind(id.partition).bind(offset);
        let found = discard.bind(reason).execute(&mut *transaction).await?.rows_affected() > 0;
        let mark =
            sqlx::query(MARK_KEY_OF).bind(&id.consumer).bind(&id.topic).bind(id.partition).bind(offset);
        mark.execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(found)
    }

    async fn expire(&self, time: Timestamp) -> Result<u64, StoreError> {
        let mut transaction = self.0.timeseries.writer.begin().await?;
        let expire = sqlx::query(EXPIRE).bind(time.as_micros());
        let expired = expire.execute(&mut *transaction).await?.rows_affected();
        sqlx::query(MARK_EXPIRED).bind(time.as_micros()).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(expired)
    }
}

#[async_trait]
impl DeadLettersTx for SqliteTx {
    async fn park(&mut self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        for letter in letters {
            let (at, key) = (&letter.at, &letter.key[..]);
            let park_key = sqlx::query(PARK_KEY).bind(&at.consumer).bind(at.topic).bind(at.partition);
            park_key.bind(key).execute(&mut *self.0).await?;
            sqlx::query(PARK)
                .bind(&at.consumer)
                .bind(at.topic)
                .bind(at.partition)
                .bind(letter.offset.cast_signed())
                .bind(key)
                .bind(letter.position.map(u64::cast_signed))
                .bind(letter.ingest_time.map(Timestamp::as_micros))
                .bind(letter.epoch)
                .bind(&letter.format)
                .bind(&letter.value[..])
                .bind(&letter.error)
                .bind(letter.attempts)
                .bind(letter.first_time.as_micros())
                .bind(letter.last_time.as_micros())
                .execute(&mut *self.0)
                .await?;
        }
        Ok(())
    }

    async fn settle(&mut self, settled: &Settled) -> Result<Settlement, StoreError> {
        let Settled { at, key, .. } = settled;
        let (consumer, topic, partition) = (&at.consumer, at.topic, at.partition);
        let forget = sqlx::query(FORGET).bind(consumer).bind(topic).bind(partition).bind(&key[..]);
        forget.bind(settled.below.cast_signed()).execute(&mut *self.0).await?;
        let settle = sqlx::query(SETTLE).bind(consumer).bind(topic).bind(partition).bind(&key[..]);
        let gone = settle.bind(settled.below.cast_signed()).execute(&mut *self.0).await?;
        if gone.rows_affected() != settled.letters {
            return Ok(Settlement::Overtaken);
        }
        if let Some((offset, error)) = &settled.failed {
            let fail = sqlx::query(FAIL).bind(consumer).bind(topic).bind(partition);
            let fail = fail.bind(offset.cast_signed()).bind(error).bind(settled.now.as_micros());
            if fail.execute(&mut *self.0).await?.rows_affected() != 1 {
                return Ok(Settlement::Overtaken);
            }
            let unmark = sqlx::query(UNMARK).bind(consumer).bind(topic).bind(partition).bind(&key[..]);
            unmark.bind(offset.cast_signed()).execute(&mut *self.0).await?;
        }
        let free = sqlx::query(FREE).bind(consumer).bind(topic).bind(partition).bind(&key[..]);
        let free = free.execute(&mut *self.0).await?.rows_affected() == 1;
        Ok(if free { Settlement::Free } else { Settlement::Parked })
    }
}

fn letter(row: &SqliteRow) -> Result<DeadLetter, StoreError> {
    Ok(DeadLetter {
        at: partition(row)?,
        offset: row.try_get::<i64, _>(3)?.cast_unsigned(),
        key: row.try_get::<Vec<u8>, _>(4)?.into(),
        position: row.try_get::<Option<i64>, _>(5)?.map(i64::cast_unsigned),
        ingest_time: row.try_get::<Option<i64>, _>(6)?.map(Timestamp::from_micros),
        epoch: row.try_get(7)?,
        format: row.try_get(8)?,
        value: row.try_get::<Vec<u8>, _>(9)?.into(),
        error: row.try_get(10)?,
        attempts: row.try_get(11)?,
        first_time: Timestamp::from_micros(row.try_get(12)?),
        last_time: Timestamp::from_micros(row.try_get(13)?),
        discarded: row.try_get(14)?,
    })
}

/// The first three columns: consumer, topic, partition.
pub(super) fn partition(row: &SqliteRow) -> Result<ConsumerPartition, sqlx::Error> {
    let topic: &str = row.try_get(1)?;
    let unknown = || sqlx::Error::Decode(format!("{topic:?} is no topic").into());
    Ok(ConsumerPartition {
        consumer: row.try_get(0)?,
        topic: topic_name(topic).ok_or_else(unknown)?,
        partition: row.try_get(2)?,
    })
}
