//! Models on SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use cornjacket_domain::Timestamp;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Row, Sqlite, Transaction};

use super::SqliteStore;
use super::offsets::SqliteTx;
use crate::StoreError;
use crate::models::{Draft, ListedModel, Mode, Model, ModelId, Models, ModelsTx, Modes, Told, Word};

const LAST_CHANGE: &str = "select coalesce(max(seq), 0) from controls";
const LAST_BY: &str = "select id, version, name, detector, code, subjects, metrics, parameters from models
    where name = ? and made_by is ? order by version desc limit 1";
const REGISTER: &str = "insert into models
        (name, version, detector, code, subjects, metrics, parameters, made_by, made_at)
    select ?1, coalesce(max(version), 0) + 1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 from models where name = ?1
    returning id, version";
// SQLite has the columns beside a maximum from its row.
const MODES: &str = "select model_id, change, max(seq),
        (select coalesce(max(seq), 0) from controls o where o.model_id = c.model_id and o.change = 'off')
    from controls c where change in ('active', 'shadow', 'off') group by model_id";
const NAMESAKES: &str =
    "select id from models where name = (select name from models where id = ?1) and id <> ?1";
const CHANGE: &str = "insert into controls (seq, model_id, change, series_id, made_by, made_at)
    select coalesce(max(seq), 0) + 1, ?, ?, ?, ?, ? from controls";
// Nothing where there is no such model or series.
const WORD: &str = "insert into controls (seq, model_id, change, series_id, shard, made_by, made_at)
    select (select coalesce(max(seq), 0) + 1 from controls), m.id, ?5, s.id, ?6, ?7, ?8 from models m, series s
    where m.name = ?1 and m.version = ?2 and s.subject = ?3 and s.metric = ?4";
const LIST: &str = "select id, version, name, detector, code, subjects, metrics, parameters, made_by, made_at
    from models order by name, version";

/// Models in a [`SqliteStore`].
#[derive(Debug)]
pub struct SqliteModels(Arc<SqliteStore>);

impl SqliteModels {
    /// The models of `store`.
    pub const fn new(store: Arc<SqliteStore>) -> Self {
        Self(store)
    }

    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.0.timeseries.writer.begin_with("begin immediate").await?)
    }
}

#[async_trait]
impl Models for SqliteModels {
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
            .bind(now.as_micros())
            .fetch_one(&mut *transaction)
            .await?;
        let model = Model { id: ModelId(row.try_get(0)?), version: row.try_get(1)?, draft: draft.clone() };
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
        let seq: i64 = sqlx::query_scalar(LAST_CHANGE).fetch_one(&self.0.timeseries.reader).await?;
        Ok(seq.cast_unsigned())
    }

    async fn list(&self) -> Result<Vec<ListedModel>, StoreError> {
        let mut connection = self.0.timeseries.reader.acquire().await?;
        let known = modes(&mut connection).await?;
        let rows = sqlx::query(LIST).fetch_all(&mut *connection).await?;
        let listed = |row: &SqliteRow| {
            let model = model(row, 0)?;
            let Told { mode, off, .. } = known.of(model.id);
            let made_at = Timestamp::from_micros(row.try_get(9)?);
            Ok(ListedModel { model, mode, off, made_by: row.try_get(8)?, made_at })
        };
        rows.iter().map(listed).collect()
    }
}

#[async_trait]
impl ModelsTx for SqliteTx {
    async fn take_word(&mut self, word: &Word<'_>) -> Result<bool, StoreError> {
        let query = sqlx::query(WORD)
            .bind(word.model)
            .bind(word.version)
            .bind(&word.series.subject)
            .bind(&word.series.metric)
            .bind(word.kept())
            .bind(word.shard.number())
            .bind(word.by)
            .bind(word.now.as_micros());
        Ok(query.execute(&mut *self.0).await?.rows_affected() == 1)
    }
}

async fn modes(connection: &mut SqliteConnection) -> Result<Modes, StoreError> {
    let rows = sqlx::query(MODES).fetch_all(connection).await?;
    let mode = |row: &SqliteRow| {
        let mode = Mode::from_name(row.try_get(1)?).expect("the statement selects modes");
        Ok(Told { model: ModelId(row.try_get(0)?), mode, off: row.try_get::<i64, _>(3)?.cast_unsigned() })
    };
    rows.iter().map(mode).collect::<Result<_, _>>().map(Modes)
}

/// A change, and what follows from it.
async fn change_to(
    connection: &mut SqliteConnection,
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
    connection: &mut SqliteConnection,
    model: ModelId,
    mode: Mode,
    by: Option<&str>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let query = sqlx::query(CHANGE).bind(model.0).bind(mode.name()).bind(None::<i64>).bind(by);
    query.bind(now.as_micros()).execute(connection).await?;
    Ok(())
}

/// The eight columns from `column` on: id, version, name, detector, code, subjects, metrics, parameters.
pub(super) fn model(row: &SqliteRow, column: usize) -> Result<Model, StoreError> {
    Ok(Model {
        id: ModelId(row.try_get(column)?),
        version: row.try_get(column + 1)?,
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
