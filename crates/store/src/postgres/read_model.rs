//! States of projections on PostgreSQL.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::PostgresStore;
use super::event_log::{from_sql, to_sql};
use super::offsets::PostgresTx;
use crate::StoreError;
use crate::offsets::ConsumerPartition;
use crate::read_model::{ProjectionId, ReadModel, ReadModelTx, Reading, State};

// One statement has one snapshot.
const STATE: &str = "select s.subject, s.state::text, s.last_position, s.event_time,
        coalesce((select p.last_position from timeseries.progress p
            where p.consumer = $4 and p.topic = $5 and p.partition = $6), 0),
        (select min(coalesce(d.position, 0)) from timeseries.dead_letters d
            where d.consumer = $4 and d.topic = $5 and d.partition = $6 and d.key = convert_to($3, 'UTF8'))
    from (select) as always left join timeseries.projection_states s
        on s.projection = $1 and s.version = $2 and s.subject = $3";
// In the order of the key, so that two consumers that share subjects cannot deadlock.
const LOAD: &str = "select subject, state::text, last_position, event_time from timeseries.projection_states
    where projection = $1 and version = $2 and subject = any($3) order by subject for update";
const SAVE: &str = "insert into timeseries.projection_states
        (projection, version, subject, state, last_position, event_time)
    select $1, $2, subject, state::jsonb, last_position, event_time
    from unnest($3::text[], $4::text[], $5::bigint[], $6::timestamptz[])
        as fresh (subject, state, last_position, event_time)
    order by subject
    on conflict (projection, version, subject) do update set
        state = excluded.state, last_position = excluded.last_position, event_time = excluded.event_time";

/// States in a [`PostgresStore`].
#[derive(Debug)]
pub struct PostgresReadModel(Arc<PostgresStore>);

impl PostgresReadModel {
    /// The states of `store`.
    pub const fn new(store: Arc<PostgresStore>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl ReadModel for PostgresReadModel {
    async fn state(
        &self,
        projection: ProjectionId,
        subject: &str,
        fed_by: &ConsumerPartition,
    ) -> Result<Reading, StoreError> {
        let row = sqlx::query(STATE)
            .bind(projection.name)
            .bind(i32::from(projection.version))
            .bind(subject)
            .bind(&fed_by.consumer)
            .bind(fed_by.topic)
            .bind(i32::from(fed_by.partition))
            .fetch_one(&self.0.reader)
            .await?;
        let known: Option<&str> = row.try_get(0)?;
        let state = known.is_some().then(|| state(&row)).transpose()?;
        Ok(Reading {
            state,
            included: row.try_get::<i64, _>(4)?.cast_unsigned(),
            parked: row.try_get::<Option<i64>, _>(5)?.map(i64::cast_unsigned),
        })
    }
}

#[async_trait]
impl ReadModelTx for PostgresTx {
    async fn load_states(
        &mut self,
        projection: ProjectionId,
        subjects: &[&str],
    ) -> Result<Vec<State>, StoreError> {
        let query =
            sqlx::query(LOAD).bind(projection.name).bind(i32::from(projection.version)).bind(subjects);
        let rows = query.fetch_all(&mut *self.0).await?;
        rows.iter().map(state).collect()
    }

    async fn save_states(&mut self, projection: ProjectionId, states: &[State]) -> Result<(), StoreError> {
        sqlx::query(SAVE)
            .bind(projection.name)
            .bind(i32::from(projection.version))
            .bind(states.iter().map(|state| state.subject.as_str()).collect::<Vec<_>>())
            .bind(states.iter().map(|state| state.json.as_str()).collect::<Vec<_>>())
            .bind(states.iter().map(|state| state.last_position.cast_signed()).collect::<Vec<_>>())
            .bind(states.iter().map(|state| to_sql(state.event_time)).collect::<Vec<_>>())
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }
}

fn state(row: &PgRow) -> Result<State, StoreError> {
    Ok(State {
        subject: row.try_get(0)?,
        json: row.try_get(1)?,
        last_position: row.try_get::<i64, _>(2)?.cast_unsigned(),
        event_time: from_sql(row.try_get(3)?),
    })
}
