//! Dead letters on PostgreSQL.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use cornjacket_domain::Timestamp;
use sqlx::Row;
use sqlx::postgres::PgRow;
use time::OffsetDateTime;

use super::PostgresStore;
use super::event_log::{from_sql, to_sql};
use super::offsets::PostgresTx;
use crate::StoreError;
use crate::dead_letters::{
    DeadLetter, DeadLetters, DeadLettersTx, LetterFilter, LetterId, ParkedQueue, Settled, Settlement,
};
use crate::offsets::{ConsumerPartition, topic_name};

const PARKED: &str = "select key from timeseries.parked_keys
    where consumer = $1 and topic = $2 and partition = $3";
const SIZE: &str =
    "select count(*), coalesce(sum(octet_length(value)), 0)::bigint from timeseries.dead_letters
    where consumer = $1 and topic = $2 and partition = $3";
const TO_REDRIVE: &str = "select key from timeseries.parked_keys
    where consumer = $1 and topic = $2 and partition = $3 and redrive order by key limit 1";
const QUEUE: &str =
    "select consumer, topic, partition, record_offset, key, position, ingest_time, epoch, format, value,
        error, attempts, first_time, last_time, discarded
    from timeseries.dead_letters
    where consumer = $1 and topic = $2 and partition = $3 and key = $4 order by record_offset limit $5";
const LIST: &str =
    "select consumer, topic, partition, record_offset, key, position, ingest_time, epoch, format, value,
        error, attempts, first_time, last_time, discarded
    from timeseries.dead_letters
    where (consumer, topic, partition, record_offset) > ($1, $2, $3, $4)
        and ($5::text is null or consumer = $5) and ($6::text is null or topic = $6)
        and ($7::bytea is null or key = $7)
    order by consumer, topic, partition, record_offset limit $8";
const GET: &str =
    "select consumer, topic, partition, record_offset, key, position, ingest_time, epoch, format, value,
        error, attempts, first_time, last_time, discarded
    from timeseries.dead_letters
    where consumer = $1 and topic = $2 and partition = $3 and record_offset = $4";
const MARK_REDRIVE: &str = "update timeseries.parked_keys set redrive = true
    where ($1::text is null or consumer = $1) and ($2::text is null or topic = $2)
        and ($3::bytea is null or key = $3)";
const DISCARD: &str = "with given_up as (
        update timeseries.dead_letters set discarded = $5
        where consumer = $1 and topic = $2 and partition = $3 and record_offset = $4
        returning consumer, topic, partition, key
    ) update timeseries.parked_keys parked set redrive = true from given_up
    where (parked.consumer, parked.topic, parked.partition, parked.key)
        = (given_up.consumer, given_up.topic, given_up.partition, given_up.key)";
const EXPIRE: &str = "with expired as (
        update timeseries.dead_letters set discarded = 'expired' where first_time < $1 and discarded is null
        returning consumer, topic, partition, key
    ), marked as (
        update timeseries.parked_keys parked set redrive = true from expired
        where (parked.consumer, parked.topic, parked.partition, parked.key)
            = (expired.consumer, expired.topic, expired.partition, expired.key)
    ) select count(*) from expired";
const PARK_KEY: &str = "insert into timeseries.parked_keys (consumer, topic, partition, key)
    values ($1, $2, $3, $4) on conflict do nothing";
// A bus that begins anew gives offsets again, and the log has none: letters stay in order, and none takes another's place.
const PARK: &str =
    "insert into timeseries.dead_letters (consumer, topic, partition, record_offset, key, position,
        ingest_time, epoch, format, value, error, attempts, first_time, last_time)
    values ($1, $2, $3, greatest($4, 1 + (
            select max(record_offset) from timeseries.dead_letters
            where consumer = $1 and topic = $2 and partition = $3)),
        $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
// The consumer came past a letter when it was parked: what says that its effect was in by then is not true of it.
const FORGET: &str =
    "delete from timeseries.milestones where consumer = $1 and topic = $2 and partition = $3 and after_position < (
        select max(position) from timeseries.dead_letters
        where consumer = $1 and topic = $2 and partition = $3 and key = $4 and record_offset < $5
    ) and exists (
        select 1 from timeseries.dead_letters letter
        where letter.consumer = $1 and letter.topic = $2 and letter.partition = $3 and letter.key = $4
            and letter.record_offset < $5
            and letter.position > after_position and letter.position <= milestones.last_position)";
const SETTLE: &str = "delete from timeseries.dead_letters
    where consumer = $1 and topic = $2 and partition = $3 and key = $4 and record_offset < $5";
const FAIL: &str = "update timeseries.dead_letters set error = $5, attempts = attempts + 1, last_time = $6
    where consumer = $1 and topic = $2 and partition = $3 and record_offset = $4";
// Not when an operator has given the letter up meanwhile, and is promised that what waits behind it flows.
const UNMARK: &str = "update timeseries.parked_keys set redrive = false
    where consumer = $1 and topic = $2 and partition = $3 and key = $4 and not exists (
        select 1 from timeseries.dead_letters
        where consumer = $1 and topic = $2 and partition = $3 and record_offset = $5
            and discarded is not null)";
const FREE: &str = "delete from timeseries.parked_keys
    where consumer = $1 and topic = $2 and partition = $3 and key = $4 and not exists (
        select 1 from timeseries.dead_letters
        where consumer = $1 and topic = $2 and partition = $3 and key = $4)";

/// Dead letters in a [`PostgresStore`].
#[derive(Debug)]
pub struct PostgresDeadLetters(Arc<PostgresStore>);

impl PostgresDeadLetters {
    /// The dead letters of `store`.
    pub const fn new(store: Arc<PostgresStore>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl DeadLetters for PostgresDeadLetters {
    async fn parked(&self, at: &ConsumerPartition) -> Result<Vec<Bytes>, StoreError> {
        let query =
            sqlx::query_scalar(PARKED).bind(&at.consumer).bind(at.topic).bind(i32::from(at.partition));
        let keys: Vec<Vec<u8>> = query.fetch_all(&self.0.effects).await?;
        Ok(keys.into_iter().map(Bytes::from).collect())
    }

    async fn size(&self, at: &ConsumerPartition) -> Result<(u64, u64), StoreError> {
        let query = sqlx::query_as(SIZE).bind(&at.consumer).bind(at.topic).bind(i32::from(at.partition));
        let (rows, bytes): (i64, i64) = query.fetch_one(&self.0.effects).await?;
        Ok((rows.cast_unsigned(), bytes.cast_unsigned()))
    }

    async fn to_redrive(
        &self,
        at: &ConsumerPartition,
        limit: u32,
    ) -> Result<Option<ParkedQueue>, StoreError> {
        let query =
            sqlx::query_scalar(TO_REDRIVE).bind(&at.consumer).bind(at.topic).bind(i32::from(at.partition));
        let Some(key) = query.fetch_optional(&self.0.effects).await? else { return Ok(None) };
        let key: Vec<u8> = key;
        let rows = sqlx::query(QUEUE)
            .bind(&at.consumer)
            .bind(at.topic)
            .bind(i32::from(at.partition))
            .bind(&key)
            .bind(i64::from(limit))
            .fetch_all(&self.0.effects)
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
            .bind(after.map_or(-1, |after| i32::from(after.partition)))
            .bind(after.map_or(-1, |after| after.offset.cast_signed()))
            .bind(&filter.consumer)
            .bind(&filter.topic)
            .bind(filter.key.as_deref())
            .bind(i64::from(limit))
            .fetch_all(&self.0.reader)
            .await?;
        rows.iter().map(letter).collect()
    }

    async fn get(&self, id: &LetterId) -> Result<Option<DeadLetter>, StoreError> {
        let row = sqlx::query(GET)
            .bind(&id.consumer)
            .bind(&id.topic)
            .bind(i32::from(id.partition))
            .bind(id.offset.cast_signed())
            .fetch_optional(&self.0.reader)
            .await?;
        row.as_ref().map(letter).transpose()
    }

    async fn mark_redrive(&self, filter: &LetterFilter) -> Result<u64, StoreError> {
        let query =
            sqlx::query(MARK_REDRIVE).bind(&filter.consumer).bind(&filter.topic).bind(filter.key.as_deref());
        Ok(query.execute(&self.0.effects).await?.rows_affected())
    }

    async fn discard(&self, id: &LetterId, reason: &str) -> Result<bool, StoreError> {
        let query = sqlx::query(DISCARD)
            .bind(&id.consumer)
            .bind(&id.topic)
            .bind(i32::from(id.partition))
            .bind(id.offset.cast_signed())
            .bind(reason);
        Ok(query.execute(&self.0.effects).await?.rows_affected() > 0)
    }

    async fn expire(&self, time: Timestamp) -> Result<u64, StoreError> {
        let expired: i64 = sqlx::query_scalar(EXPIRE).bind(to_sql(time)).fetch_one(&self.0.effects).await?;
        Ok(expired.cast_unsigned())
    }
}

#[async_trait]
impl DeadLettersTx for PostgresTx {
    async fn park(&mut self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        for letter in letters {
            let (at, key) = (&letter.at, &letter.key[..]);
            let park_key =
                sqlx::query(PARK_KEY).bind(&at.consumer).bind(at.topic).bind(i32::from(at.partition));
            park_key.bind(key).execute(&mut *self.0).await?;
            sqlx::query(PARK)
                .bind(&at.consumer)
                .bind(at.topic)
                .bind(i32::from(at.partition))
                .bind(letter.offset.cast_signed())
                .bind(key)
                .bind(letter.position.map(u64::cast_signed))
                .bind(letter.ingest_time.map(to_sql))
                .bind(letter.epoch.map(u32::cast_signed))
                .bind(&letter.format)
                .bind(&letter.value[..])
                .bind(&letter.error)
                .bind(letter.attempts.cast_signed())
                .bind(to_sql(letter.first_time))
                .bind(to_sql(letter.last_time))
                .execute(&mut *self.0)
                .await?;
        }
        Ok(())
    }

    async fn settle(&mut self, settled: &Settled) -> Result<Settlement, StoreError> {
        let Settled { at, key, .. } = settled;
        let (consumer, topic, partition) = (&at.consumer, at.topic, i32::from(at.partition));
        let forget = sqlx::query(FORGET).bind(consumer).bind(topic).bind(partition).bind(&key[..]);
        forget.bind(settled.below.cast_signed()).execute(&mut *self.0).await?;
        let settle = sqlx::query(SETTLE).bind(consumer).bind(topic).bind(partition).bind(&key[..]);
        let gone = settle.bind(settled.below.cast_signed()).execute(&mut *self.0).await?;
        if gone.rows_affected() != settled.letters {
            return Ok(Settlement::Overtaken);
        }
        if let Some((offset, error)) = &settled.failed {
            let fail = sqlx::query(FAIL).bind(consumer).bind(topic).bind(partition);
            let fail = fail.bind(offset.cast_signed()).bind(error).bind(to_sql(settled.now));
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

fn letter(row: &PgRow) -> Result<DeadLetter, StoreError> {
    Ok(DeadLetter {
        at: partition(row)?,
        offset: row.try_get::<i64, _>(3)?.cast_unsigned(),
        key: row.try_get::<Vec<u8>, _>(4)?.into(),
        position: row.try_get::<Option<i64>, _>(5)?.map(i64::cast_unsigned),
        ingest_time: row.try_get::<Option<OffsetDateTime>, _>(6)?.map(from_sql),
        epoch: row.try_get::<Option<i32>, _>(7)?.map(i32::cast_unsigned),
        format: row.try_get(8)?,
        value: row.try_get::<Vec<u8>, _>(9)?.into(),
        error: row.try_get(10)?,
        attempts: row.try_get::<i32, _>(11)?.cast_unsigned(),
        first_time: from_sql(row.try_get(12)?),
        last_time: from_sql(row.try_get(13)?),
        discarded: row.try_get(14)?,
    })
}

/// The first three columns: consumer, topic, partition.
pub(super) fn partition(row: &PgRow) -> Result<ConsumerPartition, sqlx::Error> {
    let topic: &str = row.try_get(1)?;
    let unknown = || sqlx::Error::Decode(format!("{topic:?} is no topic").into());
    Ok(ConsumerPartition {
        consumer: row.try_get(0)?,
        topic: topic_name(topic).ok_or_else(unknown)?,
        partition: u16::try_from(row.try_get::<i32, _>(2)?)
            .map_err(|error| sqlx::Error::Decode(error.into()))?,
    })
}
