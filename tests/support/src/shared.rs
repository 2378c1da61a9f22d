//! The servers that tests share: those that the environment names, as under `tests/run`, or else one of each
//! per test process.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::sync::OnceCell;

use crate::{Kafka, Postgres, Program, postgres};

/// Names the shared PostgreSQL: the URL of a database in which a superuser may make others.
pub const POSTGRES_VARIABLE: &str = "CORNJACKET_TEST_POSTGRES";

/// Names the shared Kafka: its bootstrap address.
pub const KAFKA_VARIABLE: &str = "CORNJACKET_TEST_KAFKA";

/// `CREATE DATABASE` copies a template and waits for the disk.
const CREATE_DEADLINE: Duration = Duration::from_mins(1);

static POSTGRES: OnceCell<Postgres> = OnceCell::const_new();
static KAFKA: OnceCell<Kafka> = OnceCell::const_new();

/// URL of the maintenance database of the shared PostgreSQL. Tests work in a [`fresh_database`].
pub async fn shared_postgres() -> anyhow::Result<String> {
    if let Some(url) = from_environment(POSTGRES_VARIABLE) {
        return Ok(url);
    }
    Ok(POSTGRES.get_or_try_init(Postgres::start).await?.url("postgres"))
}

/// Bootstrap address of the shared Kafka. Tests use topics and groups whose names they make unique.
pub async fn shared_kafka() -> anyhow::Result<String> {
    if let Some(bootstrap) = from_environment(KAFKA_VARIABLE) {
        return Ok(bootstrap);
    }
    Ok(KAFKA.get_or_try_init(Kafka::start).await?.bootstrap())
}

/// A new, empty database on the shared PostgreSQL: its URL. It goes with the server.
pub async fn fresh_database() -> anyhow::Result<String> {
    let server = shared_postgres().await?;
    let name = unique_name("test");
    let psql = Program::new(postgres::client("psql")).args(["--no-psqlrc", "--quiet", "--command"]);
    psql.arg(format!("CREATE DATABASE {name}")).arg(&server).output(CREATE_DEADLINE).await?;
    Ok(with_database(&server, &name))
}

/// A name that no other test and no other run uses, fit for databases, topics and groups: `prefix_` and 16
/// hexadecimal digits.
#[must_use]
pub fn unique_name(prefix: &str) -> String {
    // The standard library's one source of randomness: each `RandomState` has keys of its own.
    format!("{prefix}_{:016x}", RandomState::new().hash_one(std::process::id()))
}

/// A variable of the environment; one that is set to nothing is as good as unset.
#[must_use]
pub fn from_environment(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|value| !value.is_empty())
}

/// The URL with its database replaced: what stands behind the last slash, up to a query.
fn with_database(url: &str, database: &str) -> String {
    let (address, query) = url.split_once('?').map_or((url, None), |(address, query)| (address, Some(query)));
    let server = address.rsplit_once('/').map_or(address, |(server, _)| server);
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{server}/{database}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_of_a_url_is_replaced() {
        assert_eq!(with_database("postgres://u@h:1/postgres", "x"), "postgres://u@h:1/x");
        assert_eq!(
            with_database("postgres://u@h:1/a?sslmode=disable", "x"),
            "postgres://u@h:1/x?sslmode=disable"
        );
    }

    #[test]
    fn names_are_unique() {
        assert_ne!(unique_name("a"), unique_name("a"));
    }
}
