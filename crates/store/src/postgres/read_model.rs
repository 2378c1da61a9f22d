//! States of projections on PostgreSQL.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::dead_letters::partition;
use super::event_log::{from_sql, to_sql};
use super::offsets::PostgresTx;
use super::snapshot::PostgresSnapshot;
use crate::StoreError;
use crate::offsets::ConsumerPartition;
use crate::read_model::{Build, ProjectionId, ReadModelSnapshot, ReadModelTx, State, not_live};

const STATE: &str = "select subject, state::text, last_position, event_time from timeseries.projection_states
    where projection = $1 and subject = $2
        and version = (select build from timeseries.projections where projection = $1)";
// In the order of the key, so that two consumers that share subjects cannot deadlock. One subject after the other: with
// `any` and an order, PostgreSQL reads all states of the projection while it does not know how many there are.
const LOAD: &str = "select known.* from (select unnest($3::text[]) as subject order by subject) wanted
    cross join lateral (
        select subject, state::text, last_position, event_time from timeseries.projection_states
        where projection = $1 and subject = wanted.subject
            and version = coalesce($2, (select build from timeseries.projections where projection = $1))
        for update
    ) known";
const SAVE: &str = "insert into timeseries.projection_states
        (projection, version, subject, state, last_position, event_time)
    select $1, coalesce($2, build), subject, state::jsonb, last_position, event_time
    from timeseries.projections, unnest($3::text[], $4::text[], $5::bigint[], $6::timestamptz[])
        as fresh (subject, state, last_position, event_time)
    where projection = $1 and ($2 is not null or fold = $7)
    order by subject
    on conflict (projection, version, subject) do update set
        state = excluded.state, last_position = excluded.last_position, event_time = excluded.event_time";

const INCLUDED: &str = "select last_position from timeseries.progress
    where consumer = $1 and topic = $2 and partition = $3";
const PROGRESS: &str =
    "select consumer, topic, partition, last_position from timeseries.progress where consumer = $1";
const PARKED: &str = "select min(coalesce(position, 0)) from timeseries.dead_letters
    where consumer = $1 and topic = $2 and partition = $3 and key = convert_to($4, 'UTF8')";

#[async_trait]
impl ReadModelSnapshot for PostgresSnapshot {
    async fn state(&mut self, projection: ProjectionId, subject: &str) -> Result<Option<State>, StoreError> {
        let query = sqlx::query(STATE).bind(projection.name).bind(subject);
        query.fetch_optional(&mut *self.0).await?.as_ref().map(state).transpose()
    }

    async fn included(&mut self, at: &ConsumerPartition) -> Result<u64, StoreError> {
        let query =
            sqlx::query_scalar(INCLUDED).bind(&at.consumer).bind(at.topic).bind(i32::from(at.partition));
        let position: Option<i64> = query.fetch_optional(&mut *self.0).await?;
        Ok(position.map_or(0, i64::cast_unsigned))
    }

    async fn progress(&mut self, consumer: &str) -> Result<Vec<(ConsumerPartition, u64)>, StoreError> {
        let rows = sqlx::query(PROGRESS).bind(consumer).fetch_all(&mut *self.0).await?;
        rows.iter().map(|row| Ok((partition(row)?, row.try_get::<i64, _>(3)?.cast_unsigned()))).collect()
    }

    async fn parked(&mut self, at: &ConsumerPartition, subject: &str) -> Result<Option<u64>, StoreError> {
        let query =
            sqlx::query_scalar(PARKED).bind(&at.consumer).bind(at.topic).bind(i32::from(at.partition));
        let position: Option<i64> = query.bind(subject).fetch_one(&mut *self.0).await?;
        Ok(position.map(i64::cast_unsigned))
    }
}

#[async_trait]
impl ReadModelTx for PostgresTx {
    async fn load_states(
        &mut self,
        projection: ProjectionId,
        build: Build,
        subjects: &[&str],
    ) -> Result<Vec<State>, StoreError> {
        let query = sqlx::query(LOAD).bind(projection.name).bind(number(build)).bind(subjects);
        let rows = query.fetch_all(&mut *self.0).await?;
        rows.iter().map(state).collect()
    }

    async fn save_states(
        &mut self,
        projection: ProjectionId,
        build: Build,
        states: &[State],
    ) -> Result<(), StoreError> {
        let saved = sqlx::query(SAVE)
            .bind(projection.name)
            .bind(number(build))
            .bind(states.iter().map(|state| state.subject.as_str()).collect::<Vec<_>>())
            .bind(states.iter().map(|state| state.json.as_str()).collect::<Vec<_>>())
            .bind(states.iter().map(|state| state.last_position.cast_signed()).collect::<Vec<_>>())
            .bind(states.iter().map(|state| to_sql(state.event_time)).collect::<Vec<_>>())
            .bind(i32::from(projection.version))
            .execute(&mut *self.0)
            .await?;
        if saved.rows_affected() < states.len() as u64 { Err(not_live(projection)) } else { Ok(()) }
    }
}

fn number(build: Build) -> Option<i32> {
    build.number().map(u32::cast_signed)
}

fn state(row: &PgRow) -> Result<State, StoreError> {
    Ok(State {
        subject: row.try_get(0)?,
        json: row.try_get(1)?,
        last_position: row.try_get::<i64, _>(2)?.cast_unsigned(),
        event_time: from_sql(row.try_get(3)?),
    })
}
