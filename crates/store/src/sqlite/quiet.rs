//! Quiet on SQLite.

use std::time::Duration;

use async_trait::async_trait;
use cornjacket_domain::{Sample, SeriesKey, Timestamp};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::event_log::signed;
use super::offsets::SqliteTx;
use crate::models::ModelId;
use crate::quiet::{Heard, Quiet, QuietTx, Vigil, from_kept, to_kept};
use crate::scoring::DetectorKey;
use crate::{SeriesId, StoreError};

const WAIT: &str = "insert into quiet (series_id, model_id) values (?, ?)
    on conflict (series_id, model_id) do update set due = 0";
const VIGIL: &str = "select open, until, since, open_before from vigil";
const KEEP: &str = "insert into vigil (one, open, until, since, open_before) values (1, ?, ?, ?, ?)
    on conflict (one) do update set open = excluded.open, until = excluded.until,
        since = excluded.since, open_before = excluded.open_before";
// The last hour of a series knows its last sample.
const DUE: &str = "select q.series_id, q.model_id, s.subject, s.metric, q.noted, q.heard, q.due, q.told,
        r.last_time, r.last_position, r.last_value
    from quiet q join series s on s.id = q.series_id
    left join rollups r on r.series_id = q.series_id and r.step = 3600 and r.bucket = (
        select max(bucket) from rollups where series_id = q.series_id and step = 3600)
    where q.due <= ? order by q.due limit ?";
const NOTE: &str =
    "update quiet set noted = ?, heard = ?, due = ?, told = ? where series_id = ? and model_id = ?";
const LEAVE: &str = "delete from quiet where series_id = ? and model_id = ? and due = ?";

#[async_trait]
impl QuietTx for SqliteTx {
    async fn wait_for(&mut self, keys: &[DetectorKey]) -> Result<(), StoreError> {
        for (series, model) in keys {
            sqlx::query(WAIT).bind(series.0).bind(model.0).execute(&mut *self.0).await?;
        }
        Ok(())
    }

    async fn vigil(&mut self) -> Result<Option<Vigil>, StoreError> {
        let row = sqlx::query(VIGIL).fetch_optional(&mut *self.0).await?;
        let vigil = |row: SqliteRow| {
            Ok(Vigil {
                open: from_kept(row.try_get(0)?),
                until: Timestamp::from_micros(row.try_get(1)?),
                since: Timestamp::from_micros(row.try_get(2)?),
                open_before: from_kept(row.try_get(3)?),
            })
        };
        row.map(vigil).transpose()
    }

    async fn keep_vigil(&mut self, vigil: &Vigil) -> Result<(), StoreError> {
        let query = sqlx::query(KEEP).bind(to_kept(vigil.open)).bind(vigil.until.as_micros());
        let query = query.bind(vigil.since.as_micros()).bind(to_kept(vigil.open_before));
        query.execute(&mut *self.0).await?;
        Ok(())
    }

    async fn due(&mut self, open: Duration, limit: u32) -> Result<Vec<Quiet>, StoreError> {
        let query = sqlx::query(DUE).bind(to_kept(open)).bind(limit);
        query.fetch_all(&mut *self.0).await?.iter().map(quiet).collect()
    }

    async fn note(&mut self, heard: &[(DetectorKey, Heard)]) -> Result<(), StoreError> {
        for ((series, model), heard) in heard {
            let query = sqlx::query(NOTE).bind(signed(heard.noted)).bind(to_kept(heard.at));
            let query = query.bind(to_kept(heard.due)).bind(heard.told).bind(series.0).bind(model.0);
            query.execute(&mut *self.0).await?;
        }
        Ok(())
    }

    async fn leave(&mut self, left: &[(DetectorKey, Duration)]) -> Result<(), StoreError> {
        for ((series, model), due) in left {
            let query = sqlx::query(LEAVE).bind(series.0).bind(model.0).bind(to_kept(*due));
            query.execute(&mut *self.0).await?;
        }
        Ok(())
    }
}

fn quiet(row: &SqliteRow) -> Result<Quiet, StoreError> {
    let last = row.try_get::<Option<i64>, _>(9)?.map(|position| {
        let time = Timestamp::from_micros(row.try_get(8)?);
        Ok::<_, StoreError>(Sample { time, position: position.cast_unsigned(), value: row.try_get(10)? })
    });
    Ok(Quiet {
        key: (SeriesId(row.try_get(0)?), ModelId(row.try_get(1)?)),
        series: SeriesKey { subject: row.try_get(2)?, metric: row.try_get(3)? },
        last: last.transpose()?,
        heard: Heard {
            noted: row.try_get::<i64, _>(4)?.cast_unsigned(),
            at: from_kept(row.try_get(5)?),
            due: from_kept(row.try_get(6)?),
            told: row.try_get(7)?,
        },
    })
}
