//! Models on PostgreSQL.

use std::sync::Arc;

use async_trait::async_trait;
use cornjacket_domain::Timestamp;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Postgres, Row, Transaction};

use super::PostgresStore;
use super::event_log::{from_sql, to_sql};
use super::offsets::PostgresTx;
use crate::StoreError;
use crate::models::{Draft, ListedModel, Mode, Model, ModelId, Models, ModelsTx, Modes, Told, Word};

// Makers of versions and of changes take turns by it, so that numbers have no holes.
const LOCK: &str = "select seq from timeseries.control_head for update";
const LAST_CHANGE: &str = "select seq from timeseries.control_head";
const LAST_BY: &str =
    "select id, version, name, detector, code, subjects, metrics, parameters from timeseries.models
    where name = $1 and made_by is not distinct from $2 order by version desc limit 1";
const REGISTER: &str = "insert into timeseries.models
        (name, version, detector, code, subjects, metrics, parameters, made_by, made_at)
    select $1, coalesce(max(version), 0) + 1, $2, $3, $4, $5, $6, $7, $8 from timeseries.models where name = $1
    returning id, version";
const MODES: &str = "select distinct on (model_id) model_id, change,
        coalesce(max(seq) filter (where change = 'off') over (partition by model_id), 0)
    from timeseries.controls
    where change in ('active', 'shadow', 'off') order by model_id, seq desc";
const NAMESAKES: &str = "select id from timeseries.models
    where name = (select name from timeseries.models where id = $1) and id <> $1";
const CHANGE: &str = "with next as (update timeseries.control_head set seq = seq + 1 returning seq)
    insert into timeseries.controls (seq, model_id, change, series_id, made_by, made_at)
    select seq, $1, $2, $3, $4, $5 from next";
// Nothing where there is no such model or series.
const WORD: &str = "with said as (
        select m.id as model_id, s.id as series_id from timeseries.models m, timeseries.series s
        where m.name = $1 and m.version = $2 and s.subject = $3 and s.metric = $4),
    next as (update timeseries.control_head set seq = seq + 1 where exists (select from said) returning seq)
    insert into timeseries.controls (seq, model_id, change, series_id, shard, made_by, made_at)
    select seq, model_id, $5, series_id, $6, $7, $8 from next, said";
const LIST: &str = "select id, version, name, detector, code, subjects, metrics, parameters, made_by, made_at
    from timeseries.models order by name, version";

/// Models in a [`PostgresStore`].
#[derive(Debug)]
pub struct PostgresModels(Arc<PostgresStore>);

impl PostgresModels {
    /// The models of `store`.
    pub const fn new(store: Arc<PostgresStore>) -> Self {
        Self(store)
    }

    async fn begin(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        let mut transaction = self.0.effects.begin().await?;
        sqlx::query(LOCK).execute(&mut *transaction).await?;
        Ok(transaction)
    }
}

#[async_trait]
impl Models for PostgresModels {
    async fn register(
        &self,
        draft: &Draft,
        mode: Mode,
        by: Option<&str>,
        now: Timestamp,
    ) -> Result<Model, StoreError> {
        let mut transaction = self.begin().await?;
        let last = sqlx::query(LAST_BY).bind(&draft.name).bind(by).fetch_optional(&mut *transaction).await?;
        if let Some(last) = last.as_ref().map(|row| model(row, 0)).transpose()?
            && last.draft == *draft
        {
            return Ok(last);
        }
        let row = sqlx::query(REGISTER)
            .bind(&draft.name)
            .bind(&draft.detector)
            .bind(&draft.code)
            .bind(&draft.subjects)
            .bind(&draft.metrics)
            .bind(&draft.parameters)
            .bind(by)
            .bind(to_sql(now))
            .fetch_one(&mut *transaction)
            .await?;
        let version = row.try_get::<i32, _>(1)?.cast_unsigned();
        let model = Model { id: ModelId(row.try_get(0)?), version, draft: draft.clone() };
        change_to(&mut transaction, model.id, mode, by, now).await?;
        transaction.commit().await?;
        Ok(model)
    }

    async fn set_mode(
        &self,
        model: ModelId,
        mode: Mode,
        by: Option<&str>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        change_to(&mut transaction, model, mode, by, now).await?;
        Ok(transaction.commit().await?)
    }

    async fn last_change(&self) -> Result<u64, StoreError> {
        let seq: i64 = sqlx::query_scalar(LAST_CHANGE).fetch_one(&self.0.effects).await?;
        Ok(seq.cast_unsigned())
    }

    async fn list(&self) -> Result<Vec<ListedModel>, StoreError> {
        let mut connection = self.0.effects.acquire().await?;
        let known = modes(&mut connection).await?;
        let rows = sqlx::query(LIST).fetch_all(&mut *connection).await?;
        let listed = |row: &PgRow| {
            let model = model(row, 0)?;
            let Told { mode, off, .. } = known.of(model.id);
            Ok(ListedModel { model, mode, off, made_by: row.try_get(8)?, made_at: from_sql(row.try_get(9)?) })
        };
        rows.iter().map(listed).collect()
    }
}

#[async_trait]
impl ModelsTx for PostgresTx {
    async fn take_word(&mut self, word: &Word<'_>) -> Result<bool, StoreError> {
        sqlx::query(LOCK).execute(&mut *self.0).await?;
        let query = sqlx::query(WORD)
            .bind(word.model)
            .bind(word.version.cast_signed())
            .bind(&word.series.subject)
            .bind(&word.series.metric)
            .bind(word.kept())
            .bind(word.shard.number().cast_signed())
            .bind(word.by)
            .bind(to_sql(word.now));
        Ok(query.execute(&mut *self.0).await?.rows_affected() == 1)
    }
}

async fn modes(connection: &mut PgConnection) -> Result<Modes, StoreError> {
    let rows = sqlx::query(MODES).fetch_all(connection).await?;
    let mode = |row: &PgRow| {
        let mode = Mode::from_name(row.try_get(1)?).expect("the statement selects modes");
        Ok(Told { model: ModelId(row.try_get(0)?), mode, off: row.try_get::<i64, _>(2)?.cast_unsigned() })
    };
    rows.iter().map(mode).collect::<Result<_, _>>().map(Modes)
}

/// A change, and what follows from it.
async fn change_to(
    connection: &mut PgConnection,
    model: ModelId,
    mode: Mode,
    by: Option<&str>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let known = modes(&mut *connection).await?;
    let namesakes: Vec<i32> = sqlx::query_scalar(NAMESAKES).bind(model.0).fetch_all(&mut *connection).await?;
    for (model, mode) in known.changes(model, mode, &namesakes) {
        change(&mut *connection, model, mode, by, now).await?;
    }
    Ok(())
}

async fn change(
    connection: &mut PgConnection,
    model: ModelId,
    mode: Mode,
    by: Option<&str>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let query = sqlx::query(CHANGE).bind(model.0).bind(mode.name()).bind(None::<i64>).bind(by);
    query.bind(to_sql(now)).execute(connection).await?;
    Ok(())
}

/// The eight columns from `column` on: id, version, name, detector, code, subjects, metrics, parameters.
pub(super) fn model(row: &PgRow, column: usize) -> Result<Model, StoreError> {
    Ok(Model {
        id: ModelId(row.try_get(column)?),
        version: row.try_get::<i32, _>(column + 1)?.cast_unsigned(),
        draft: Draft {
            name: row.try_get(column + 2)?,
            detector: row.try_get(column + 3)?,
            code: row.try_get(column + 4)?,
            subjects: row.try_get(column + 5)?,
            metrics: row.try_get(column + 6)?,
            parameters: row.try_get(column + 7)?,
        },
    })
}
