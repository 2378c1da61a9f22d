//! Why the store did not do what it was asked.

use std::time::Duration;

use cornjacket_proto::status::{ErrorKind, Failure};
use sqlx::error::DatabaseError;

/// Why the store did not do what it was asked, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database does not answer, is busy or is restarting. Trying again later may help.
    #[error("the store is not available: {0}")]
    Outage(#[source] sqlx::Error),
    /// The statement took longer than it was given, and ended without an answer.
    #[error("the statement took too long: {0}")]
    Deadline(#[source] sqlx::Error),
    /// Nothing came back within that time: whoever asked gave up. Trying again later may help.
    #[error("the store did not answer within {0:?}")]
    Silent(Duration),
    /// The database was asked something wrong or holds something wrong: a defect, which trying again does not mend.
    #[error("the store failed: {0}")]
    Defect(#[source] sqlx::Error),
    /// The database cannot store what it was given: the data is at fault, not the database.
    #[error("the store cannot keep this: {0}")]
    Unfit(#[source] sqlx::Error),
    /// The store's settings or state forbid to start; the text says which and how to mend it.
    #[error("{0}")]
    Refused(String),
}

impl StoreError {
    /// Whether trying again later may help.
    pub const fn is_outage(&self) -> bool {
        matches!(self, Self::Outage(_) | Self::Deadline(_) | Self::Silent(_))
    }

    /// What a caller is told, who must not see the rest.
    pub fn failure(&self) -> Failure {
        if self.is_outage() {
            return Failure::new(ErrorKind::Unavailable, "the store is not available")
                .with_reason("STORE_UNAVAILABLE", [])
                .with_retry_after(Duration::from_secs(1));
        }
        Failure::new(ErrorKind::Internal, "the store failed")
    }

    /// Whether the data is at fault.
    pub const fn is_unfit(&self) -> bool {
        matches!(self, Self::Unfit(_))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if is_unfit(&error) {
            Self::Unfit(error)
        } else if is_deadline(&error) {
            Self::Deadline(error)
        } else if is_outage(&error) {
            Self::Outage(error)
        } else {
            Self::Defect(error)
        }
    }
}

impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        match error {
            sqlx::migrate::MigrateError::Execute(error) => error.into(),
            other => Self::Refused(format!("migrations: {other}")),
        }
    }
}

fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(error) => is_database_outage(error.as_ref()),
        _ => false,
    }
}

/// PostgreSQL's `query_canceled`, by `statement_timeout`; `SQLITE_INTERRUPT`.
fn is_deadline(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    error.code().is_some_and(|code| code == "57014" || code == "9")
}

/// PostgreSQL's class of data exceptions: a NUL in a text, a number out of range.
fn is_unfit(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    let postgres = error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>();
    postgres.is_some_and(|error| error.code().starts_with("22"))
}

/// By SQLSTATE class on PostgreSQL (its documentation's appendix A), by primary result code on SQLite.
fn is_database_outage(error: &dyn DatabaseError) -> bool {
    let Some(code) = error.code() else { return false };
    if let Some(postgres) = error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
        // Connection, rollback (deadlock, serialization), resources, lock timeout, operator (shutdown, timeout),
        // system; and a transaction that was idle for too long.
        let class = &postgres.code()[..2];
        return ["08", "40", "53", "55", "57", "58"].contains(&class) || postgres.code() == "25P03";
    }
    // SQLITE_BUSY, LOCKED, IOERR, FULL, CANTOPEN
    code.parse::<u32>().is_ok_and(|code| [5, 6, 10, 13, 14].contains(&(code & 0xff)))
}
