//! States of projections on SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use cornjacket_domain::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::SqliteStore;
use super::offsets::SqliteTx;
use crate::StoreError;
use crate::offsets::ConsumerPartition;
use crate::read_model::{ProjectionId, ReadModel, ReadModelTx, Reading, State};

// One statement has one snapshot.
const STATE: &str = "select s.subject, s.state, s.last_position, s.event_time,
        coalesce((select p.last_position from progress p
            where p.consumer = ?4 and p.topic = ?5 and p.partition = ?6), 0),
        (select min(coalesce(d.position, 0)) from dead_letters d
            where d.consumer = ?4 and d.topic = ?5 and d.partition = ?6 and d.key = cast(?3 as blob))
    from (select 1) left join projection_states s
        on s.projection = ?1 and s.version = ?2 and s.subject = ?3";
const LOAD: &str = "select subject, state, last_position, event_time from projection_states
    where projection = ? and version = ? and subject = ?";
const SAVE: &str = "insert into projection_states
        (projection, version, subject, state, last_position, event_time)
    values (?, ?, ?, ?, ?, ?)
    on conflict (projection, version, subject) do update set
        state = excluded.state, last_position = excluded.last_position, event_time = excluded.event_time";

/// States in a [`SqliteStore`].
#[derive(Debug)]
pub struct SqliteReadModel(Arc<SqliteStore>);

impl SqliteReadModel {
    /// The states of `store`.
    pub const fn new(store: Arc<SqliteStore>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl ReadModel for SqliteReadModel {
    async fn state(
        &self,
        projection: ProjectionId,
        subject: &str,
        fed_by: &ConsumerPartition,
    ) -> Result<Reading, StoreError> {
        let row = sqlx::query(STATE)
            .bind(projection.name)
            .bind(projection.version)
            .bind(subject)
            .bind(&fed_by.consumer)
            .bind(fed_by.topic)
            .bind(fed_by.partition)
            .fetch_one(&self.0.timeseries.reader)
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
impl ReadModelTx for SqliteTx {
    async fn load_states(
        &mut self,
        projection: ProjectionId,
        subjects: &[&str],
    ) -> Result<Vec<State>, StoreError> {
        let mut states = Vec::new();
        for subject in subjects {
            let query = sqlx::query(LOAD).bind(projection.name).bind(projection.version).bind(*subject);
            if let Some(row) = query.fetch_optional(&mut *self.0).await? {
                states.push(state(&row)?);
            }
        }
        Ok(states)
    }

    async fn save_states(&mut self, projection: ProjectionId, states: &[State]) -> Result<(), StoreError> {
        for state in states {
            sqlx::query(SAVE)
                .bind(projection.name)
                .bind(projection.version)
                .bind(&state.subject)
                .bind(&state.json)
                .bind(state.last_position.cast_signed())
                .bind(state.event_time.as_micros())
                .execute(&mut *self.0)
                .await?;
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
