//! The secrets of endpoints on SQLite: the last one, and those that are good beside it for a while.

use cornjacket_domain::Timestamp;
use sqlx::sqlite::{SqliteConnection, SqliteExecutor};

use crate::StoreError;
use crate::definitions::{MOST_FORMER_SECRETS, NewSecret, Redefinition};

// One statement, so that the endpoint is what it was when they were; there is a row also when it has none.
const GOOD: &str = "select good.sealed from definitions d left join (
        select sealed, 1 as is_last, 0 as number from secrets where endpoint = ?1
        union all
        select sealed, 0, number from former_secrets where endpoint = ?1 and signs_until > ?2) as good
        on true
    where d.kind = 'endpoint' and d.name = ?1 and d.version = ?3
    order by good.is_last desc, good.number desc";
const SHORTEN: &str = "update former_secrets set signs_until = ?2 where endpoint = ?1 and signs_until > ?2";
const RETIRE: &str = "insert into former_secrets (endpoint, number, sealed, signs_until)
    select endpoint, (select coalesce(max(number), 0) + 1 from former_secrets where endpoint = ?1), sealed, ?2
    from secrets where endpoint = ?1";
const SEAL: &str = "insert into secrets (endpoint, sealed) values (?1, ?2)
    on conflict (endpoint) do update set sealed = excluded.sealed";
const FORGET_FORMER: &str = "delete from former_secrets where endpoint = ?1 and (signs_until <= ?2
    or number <= (select max(number) - ?3 from former_secrets where endpoint = ?1))";
const FORGET: [&str; 2] =
    ["delete from secrets where endpoint = ?1", "delete from former_secrets where endpoint = ?1"];

/// Those of an endpoint that are good at that time, the newest first; nothing when it is no longer of that version.
pub(super) async fn good_at(
    executor: impl SqliteExecutor<'_>,
    endpoint: &str,
    version: u32,
    now: Timestamp,
) -> Result<Option<Vec<Vec<u8>>>, StoreError> {
    let query = sqlx::query_scalar(GOOD).bind(endpoint).bind(now.as_micros()).bind(version);
    let found: Vec<Option<Vec<u8>>> = query.fetch_all(executor).await?;
    Ok((!found.is_empty()).then(|| found.into_iter().flatten().collect()))
}

/// What a change to an endpoint means to its secrets. Those that are over go with any change.
pub(super) async fn change(
    connection: &mut SqliteConnection,
    change: &Redefinition<'_>,
) -> Result<(), StoreError> {
    if let Some(NewSecret { sealed, former_until }) = change.secret {
        for former in [SHORTEN, RETIRE] {
            let query = sqlx::query(former).bind(change.name).bind(former_until.as_micros());
            query.execute(&mut *connection).await?;
        }
        sqlx::query(SEAL).bind(change.name).bind(sealed).execute(&mut *connection).await?;
    }
    let forget = sqlx::query(FORGET_FORMER).bind(change.name).bind(change.now.as_micros());
    forget.bind(i64::from(MOST_FORMER_SECRETS)).execute(connection).await?;
    Ok(())
}

/// An endpoint is no more, and nothing is signed for it.
pub(super) async fn forget(connection: &mut SqliteConnection, endpoint: &str) -> Result<(), StoreError> {
    for forget in FORGET {
        sqlx::query(forget).bind(endpoint).execute(&mut *connection).await?;
    }
    Ok(())
}
