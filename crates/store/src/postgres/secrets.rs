//! The secrets of endpoints on PostgreSQL: the last one, and those that are good beside it for a while.

use cornjacket_domain::Timestamp;
use sqlx::postgres::{PgConnection, PgExecutor};

use super::event_log::to_sql;
use crate::StoreError;
use crate::definitions::{MOST_FORMER_SECRETS, NewSecret, Redefinition};

const GOOD: &str = "select sealed from (
        select sealed, true as is_last, 0::bigint as number from actions.secrets where endpoint = $1
        union all
        select sealed, false, number from actions.former_secrets where endpoint = $1 and signs_until > $2) as good
    order by is_last desc, number desc";
const SHORTEN: &str =
    "update actions.former_secrets set signs_until = $2 where endpoint = $1 and signs_until > $2";
const RETIRE: &str = "insert into actions.former_secrets (endpoint, number, sealed, signs_until)
    select endpoint, (select coalesce(max(number), 0) + 1 from actions.former_secrets where endpoint = $1), sealed, $2
    from actions.secrets where endpoint = $1";
const SEAL: &str = "insert into actions.secrets (endpoint, sealed) values ($1, $2)
    on conflict (endpoint) do update set sealed = excluded.sealed";
const FORGET_FORMER: &str = "delete from actions.former_secrets where endpoint = $1 and (signs_until <= $2
    or number <= (select max(number) - $3 from actions.former_secrets where endpoint = $1))";
const FORGET: [&str; 2] = [
    "delete from actions.secrets where endpoint = $1",
    "delete from actions.former_secrets where endpoint = $1",
];

/// Those of an endpoint that are good at that time, the newest first.
pub(super) async fn good_at(
    executor: impl PgExecutor<'_>,
    endpoint: &str,
    now: Timestamp,
) -> Result<Vec<Vec<u8>>, StoreError> {
    Ok(sqlx::query_scalar(GOOD).bind(endpoint).bind(to_sql(now)).fetch_all(executor).await?)
}

/// What a change to an endpoint means to its secrets. Those that are over go with any change.
pub(super) async fn change(
    connection: &mut PgConnection,
    change: &Redefinition<'_>,
) -> Result<(), StoreError> {
    if let Some(NewSecret { sealed, former_until }) = change.secret {
        for former in [SHORTEN, RETIRE] {
            let query = sqlx::query(former).bind(change.name).bind(to_sql(former_until));
            query.execute(&mut *connection).await?;
        }
        sqlx::query(SEAL).bind(change.name).bind(sealed).execute(&mut *connection).await?;
    }
    let forget = sqlx::query(FORGET_FORMER).bind(change.name).bind(to_sql(change.now));
    forget.bind(i64::from(MOST_FORMER_SECRETS)).execute(connection).await?;
    Ok(())
}

/// An endpoint is no more, and nothing is signed for it.
pub(super) async fn forget(connection: &mut PgConnection, endpoint: &str) -> Result<(), StoreError> {
    for forget in FORGET {
        sqlx::query(forget).bind(endpoint).execute(&mut *connection).await?;
    }
    Ok(())
}
