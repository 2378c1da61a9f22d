//! Who may write what on PostgreSQL: each part of a process has a role of its own.

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions};

use super::Backend;
use super::fixtures::{clock, events};

/// What a role is told when it tries a statement; nothing when it may.
async fn refusal(backend: &Backend, role: &str, statement: &str) -> anyhow::Result<Option<String>> {
    let options: PgConnectOptions = backend.url.parse()?;
    let mut connection = options.options([("role", role)]).connect().await?;
    let done = sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await;
    Ok(done.err().and_then(sqlx::Error::into_database_error).map(|error| error.message().to_owned()))
}

#[tokio::test]
async fn ingest_cannot_write_what_is_derived_and_query_cannot_write_at_all() -> anyhow::Result<()> {
    const WRITE_DERIVED: &str = "delete from timeseries.projection_states";
    const WRITE_LOG: &str = "delete from event_store.log";
    const READ_BOTH: &str = "select (select count(*) from event_store.log) +
        (select count(*) from timeseries.projection_states)";
    let backend = Backend::postgres().await?;
    backend.open(clock()).await?.log.append(&events("a", 1)).await?;
    for (role, statement, allowed) in [
        ("cornjacket_ingest", WRITE_DERIVED, false),
        ("cornjacket_ingest", WRITE_LOG, false),
        ("cornjacket_timeseries", WRITE_DERIVED, true),
        ("cornjacket_timeseries", WRITE_LOG, false),
        ("cornjacket_query", WRITE_DERIVED, false),
        ("cornjacket_query", WRITE_LOG, false),
        ("cornjacket_query", READ_BOTH, true),
    ] {
        let refused = refusal(&backend, role, statement).await?;
        assert_eq!(refused.is_none(), allowed, "{role}: {statement}: {refused:?}");
        assert!(refused.is_none_or(|said| said.contains("permission denied")));
    }
    Ok(())
}
