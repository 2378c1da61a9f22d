//! States of projections on SQLite.

use async_trait::async_trait;
use cornjacket_domain::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::dead_letters::partition;
use super::offsets::SqliteTx;
use super::snapshot::SqliteSnapshot;
use crate::StoreError;
use crate::offsets::ConsumerPartition;
use crate::read_model::{Build, ProjectionId, ReadModelSnapshot, ReadModelTx, State, not_live};

const LOAD: &str = "select subject, state, last_position, event_time from projection_states
    where projection = ?1 and version = coalesce(?2, (select build from projections where projection = ?1))
        and subject = ?3";
const SAVE: &str = "insert into projection_states
        (projection, version, subject, state, last_position, event_time)
    select ?1, coalesce(?2, build), ?3, ?4, ?5, ?6 from projections
    where projection = ?1 and (?2 is not null or fold = ?7)
    on conflict (projection, version, subject) do update set
        state = excluded.state, last_position = excluded.last_position, event_time = excluded.event_time";

const INCLUDED: &str =
    "select last_position from progress where consumer = ? and topic = ? and partition = ?";
const PROGRESS: &str = "select consumer, topic, partition, last_position from progress where consumer = ?";
const PARKED: &str = "select min(coalesce(position, 0)) from dead_letters
    where consumer = ? and topic = ? and partition = ? and key = cast(? as blob)";

#[async_trait]
impl ReadModelSnapshot for SqliteSnapshot {
    async fn state(&mut self, projection: ProjectionId, subject: &str) -> Result<Option<State>, StoreError> {
        let query = sqlx::query(LOAD).bind(projection.name).bind(None::<u32>).bind(subject);
        query.fetch_optional(self.timeseries().await?).await?.as_ref().map(state).transpose()
    }

    async fn included(&mut self, at: &ConsumerPartition) -> Result<u64, StoreError> {
        let query = sqlx::query_scalar(INCLUDED).bind(&at.consumer).bind(at.topic).bind(at.partition);
        let position: Option<i64> = query.fetch_optional(self.timeseries().await?).await?;
        Ok(position.map_or(0, i64::cast_unsigned))
    }

    async fn progress(&mut self, consumer: &str) -> Result<Vec<(ConsumerPartition, u64)>, StoreError> {
        let rows = sqlx::query(PROGRESS).bind(consumer).fetch_all(self.timeseries().await?).await?;
        rows.iter().map(|row| Ok((partition(row)?, row.try_get::<i64, _>(3)?.cast_unsigned()))).collect()
    }

    async fn parked(&mut self, at: &ConsumerPartition, subject: &str) -> Result<Option<u64>, StoreError> {
        let query = sqlx::query_scalar(PARKED).bind(&at.consumer).bind(at.topic).bind(at.partition);
        let position: Option<i64> = query.bind(subject).fetch_one(self.timeseries().await?).await?;
        Ok(position.map(i64::cast_unsigned))
    }
}

#[async_trait]
impl ReadModelTx for SqliteTx {
    async fn load_states(
        &mut self,
        projection: ProjectionId,
        build: Build,
        subjects: &[&str],
    ) -> Result<Vec<State>, StoreError> {
        let mut states = Vec::new();
        for subject in subjects {
            let query = sqlx::query(LOAD).bind(projection.name).bind(build.number()).bind(*subject);
            if let Some(row) = query.fetch_optional(&mut *self.0).await? {
                states.push(state(&row)?);
            }
        }
        Ok(states)
    }

    async fn save_states(
        &mut self,
        projection: ProjectionId,
        build: Build,
        states: &[State],
    ) -> Result<(), StoreError> {
        for state in states {
            let saved = sqlx::query(SAVE)
                .bind(projection.name)
                .bind(build.number())
                .bind(&state.subject)
                .bind(&state.json)
                .bind(state.last_position.cast_signed())
                .bind(state.event_time.as_micros())
                .bind(projection.version)
                .execute(&mut *self.0)
                .await?;
            if saved.rows_affected() == 0 {
                return Err(not_live(projection));
            }
        }
        Ok(())
    }
}

fn state(row: &SqliteRow) -> Result<State, StoreError> {
    Ok(State {
        subject: row.try_get(0)?,
        json: row.try_get(1)?,
        last_position: row.try_get::<i64, _>(2)?.cast_unsigned(),
        event_time: Timestamp::from_micros(row.try_get(3)?),
    })
}
