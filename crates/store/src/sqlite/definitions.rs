//! What operators define of actions, on SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use cornjacket_domain::Timestamp;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::SqliteStore;
use super::offsets::SqliteTx;
use super::secrets;
use crate::StoreError;
use crate::definitions::{
    Defining, Definition, DefinitionKind, Definitions, DefinitionsTx, Redefined, Redefinition, Signature,
};

const REVISION: &str = "select revision from revision";
// One statement sees everything at one time, also where there is nothing.
const READ: &str =
    "select revision, kind, name, version, definition, made_by, made_at, changed_by, changed_at
    from revision left join definitions on true order by kind, name";
const MOVE: &str = "update revision set revision = revision + 1 where revision = ?1";
const KEEP: &str = "insert into definition_versions (kind, name, version, definition, changed_by, changed_at)
    select ?1, ?2, coalesce(max(version), 0) + 1, ?3, ?4, ?5 from definition_versions
        where kind = ?1 and name = ?2
    returning version";
const DEFINE: &str = "insert into definitions
        (kind, name, version, definition, made_by, made_at, changed_by, changed_at)
    values (?1, ?2, ?3, ?4, ?5, ?6, ?5, ?6)
    on conflict (kind, name) do update set version = excluded.version, definition = excluded.definition,
        changed_by = excluded.changed_by, changed_at = excluded.changed_at";
const END: &str = "delete from definitions where kind = ?1 and name = ?2";
const SYNC: &str = "pragma wal_checkpoint(passive)";
// Before there is another one of its name.
const GIVE_UP: &str =
    "update deliveries set state = 'dead', settled_at = ?2, reason = 'its endpoint is no more'
    where endpoint = ?1 and state = 'pending'";
const FORGIVE: &str = "delete from health where endpoint = ?1";

/// What is defined in a [`SqliteStore`].
#[derive(Debug)]
pub struct SqliteDefining(Arc<SqliteStore>);

impl SqliteDefining {
    /// What is defined in `store`.
    pub const fn new(store: Arc<SqliteStore>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl Defining for SqliteDefining {
    async fn read(&self) -> Result<Definitions, StoreError> {
        read(&mut *self.0.timeseries.reader.acquire().await?).await
    }

    async fn redefine(&self, change: &Redefinition<'_>) -> Result<Redefined, StoreError> {
        let mut transaction = self.0.timeseries.writer.begin_with("begin immediate").await?;
        let moved = sqlx::query(MOVE).bind(change.revision.cast_signed()).execute(&mut *transaction).await?;
        if moved.rows_affected() != 1 {
            return Ok(Redefined::Moved);
        }
        write(&mut transaction, change).await?;
        transaction.commit().await?;
        // What operators were told is done outlasts a power cut; this file alone is not synced with every commit.
        sqlx::query(SYNC).execute(&self.0.timeseries.writer).await?;
        Ok(Redefined::Done)
    }

    async fn secrets(
        &self,
        endpoint: &str,
        version: u32,
        now: Timestamp,
    ) -> Result<Option<Vec<Vec<u8>>>, StoreError> {
        secrets::good_at(&self.0.timeseries.reader, endpoint, version, now).await
    }
}

#[async_trait]
impl DefinitionsTx for SqliteTx {
    async fn revision(&mut self) -> Result<u64, StoreError> {
        Ok(sqlx::query_scalar::<_, i64>(REVISION).fetch_one(&mut *self.0).await?.cast_unsigned())
    }

    async fn definitions(&mut self) -> Result<Definitions, StoreError> {
        read(&mut self.0).await
    }
}

async fn read(connection: &mut SqliteConnection) -> Result<Definitions, StoreError> {
    let rows = sqlx::query(READ).fetch_all(connection).await?;
    let mut definitions = Definitions::default();
    for row in &rows {
        definitions.revision = row.try_get::<i64, _>(0)?.cast_unsigned();
        definitions.all.extend(definition(row)?);
    }
    Ok(definitions)
}

/// Nothing where there is none, or one of a kind that a newer Cornjacket made.
fn definition(row: &SqliteRow) -> Result<Option<Definition>, StoreError> {
    let kind: Option<&str> = row.try_get(1)?;
    let Some(kind) = kind.and_then(DefinitionKind::from_name) else { return Ok(None) };
    let signature = |by, at| {
        Ok::<_, StoreError>(Signature { by: row.try_get(by)?, at: Timestamp::from_micros(row.try_get(at)?) })
    };
    Ok(Some(Definition {
        kind,
        name: row.try_get(2)?,
        version: row.try_get(3)?,
        bytes: row.try_get(4)?,
        made: signature(5, 6)?,
        changed: signature(7, 8)?,
    }))
}

async fn write(connection: &mut SqliteConnection, change: &Redefinition<'_>) -> Result<(), StoreError> {
    let (kind, name) = (change.kind.name(), change.name);
    if let Some(bytes) = change.bytes {
        let keep = sqlx::query_scalar(KEEP).bind(kind).bind(name).bind(bytes).bind(change.by);
        let version: u32 = keep.bind(change.now.as_micros()).fetch_one(&mut *connection).await?;
        let define = sqlx::query(DEFINE).bind(kind).bind(name).bind(version).bind(bytes).bind(change.by);
        define.bind(change.now.as_micros()).execute(&mut *connection).await?;
    } else {
        sqlx::query(END).bind(kind).bind(name).execute(&mut *connection).await?;
    }
    if change.kind != DefinitionKind::Endpoint {
        return Ok(());
    }
    if change.bytes.is_none() {
        secrets::forget(&mut *connection, name).await?;
        sqlx::query(GIVE_UP).bind(name).bind(change.now.as_micros()).execute(&mut *connection).await?;
    } else {
        secrets::change(&mut *connection, change).await?;
    }
    if change.forgives {
        sqlx::query(FORGIVE).bind(name).execute(&mut *connection).await?;
    }
    Ok(())
}
