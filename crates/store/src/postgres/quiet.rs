//! Quiet on PostgreSQL.

use std::time::Duration;

use async_trait::async_trait;
use cornjacket_domain::{Sample, SeriesKey};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::event_log::{from_sql, signed, to_sql};
use super::offsets::PostgresTx;
use crate::models::ModelId;
use crate::quiet::{Heard, Quiet, QuietTx, Vigil, from_kept, to_kept};
use crate::scoring::DetectorKey;
use crate::{SeriesId, StoreError};

const WAIT: &str = "insert into timeseries.quiet (series_id, model_id)
    select * from unnest($1::bigint[], $2::integer[])
    on conflict (series_id, model_id) do update set due = 0";
const VIGIL: &str = "select open, until, since, open_before from timeseries.vigil for update";
const KEEP: &str = "insert into timeseries.vigil (open, until, since, open_before) values ($1, $2, $3, $4)
    on conflict (one) do update set open = excluded.open, until = excluded.until,
        since = excluded.since, open_before = excluded.open_before";
// The last hour of a series knows its last sample.
const DUE: &str = "select q.series_id, q.model_id, s.subject, s.metric, q.noted, q.heard, q.due, q.told,
        r.last_time, r.last_position, r.last_value
    from (select * from timeseries.quiet where due <= $1 order by due limit $2) as q
    join timeseries.series as s on s.id = q.series_id
    left join lateral (
        select last_time, last_position, last_value from timeseries.rollups
        where series_id = q.series_id and step = 3600 order by bucket desc limit 1) as r on true
    order by q.due";
const NOTE: &str = "update timeseries.quiet as known
    set noted = heard.noted, heard = heard.at, due = heard.due, told = heard.told
    from unnest($1::bigint[], $2::integer[], $3::bigint[], $4::bigint[], $5::bigint[], $6::boolean[])
        as heard (series_id, model_id, noted, at, due, told)
    where known.series_id = heard.series_id and known.model_id = heard.model_id";
const LEAVE: &str = "delete from timeseries.quiet
    where (series_id, model_id, due) in (select * from unnest($1::bigint[], $2::integer[], $3::bigint[]))";

#[async_trait]
impl QuietTx for PostgresTx {
    async fn wait_for(&mut self, keys: &[DetectorKey]) -> Result<(), StoreError> {
        let (series, models) = columns(keys.iter());
        sqlx::query(WAIT).bind(series).bind(models).execute(&mut *self.0).await?;
        Ok(())
    }

    async fn vigil(&mut self) -> Result<Option<Vigil>, StoreError> {
        let row = sqlx::query(VIGIL).fetch_optional(&mut *self.0).await?;
        let vigil = |row: PgRow| {
            Ok(Vigil {
                open: from_kept(row.try_get(0)?),
                until: from_sql(row.try_get(1)?),
                since: from_sql(row.try_get(2)?),
                open_before: from_kept(row.try_get(3)?),
            })
        };
        row.map(vigil).transpose()
    }

    async fn keep_vigil(&mut self, vigil: &Vigil) -> Result<(), StoreError> {
        let query = sqlx::query(KEEP).bind(to_kept(vigil.open)).bind(to_sql(vigil.until));
        let query = query.bind(to_sql(vigil.since)).bind(to_kept(vigil.open_before));
        query.execute(&mut *self.0).await?;
        Ok(())
    }

    async fn due(&mut self, open: Duration, limit: u32) -> Result<Vec<Quiet>, StoreError> {
        let query = sqlx::query(DUE).bind(to_kept(open)).bind(i64::from(limit));
        query.fetch_all(&mut *self.0).await?.iter().map(quiet).collect()
    }

    async fn note(&mut self, heard: &[(DetectorKey, Heard)]) -> Result<(), StoreError> {
        let (series, models) = columns(heard.iter().map(|(key, _)| key));
        let query = sqlx::query(NOTE)
            .bind(series)
            .bind(models)
            .bind(heard.iter().map(|(_, heard)| signed(heard.noted)).collect::<Vec<_>>())
            .bind(heard.iter().map(|(_, heard)| to_kept(heard.at)).collect::<Vec<_>>())
            .bind(heard.iter().map(|(_, heard)| to_kept(heard.due)).collect::<Vec<_>>())
            .bind(heard.iter().map(|(_, heard)| heard.told).collect::<Vec<_>>());
        query.execute(&mut *self.0).await?;
        Ok(())
    }

    async fn leave(&mut self, left: &[(DetectorKey, Duration)]) -> Result<(), StoreError> {
        let (series, models) = columns(left.iter().map(|(key, _)| key));
        let due: Vec<_> = left.iter().map(|(_, due)| to_kept(*due)).collect();
        sqlx::query(LEAVE).bind(series).bind(models).bind(due).execute(&mut *self.0).await?;
        Ok(())
    }
}

fn columns<'a>(keys: impl Iterator<Item = &'a DetectorKey>) -> (Vec<i64>, Vec<i32>) {
    keys.map(|(series, model)| (series.0, model.0)).unzip()
}

fn quiet(row: &PgRow) -> Result<Quiet, StoreError> {
    let last = row.try_get::<Option<i64>, _>(9)?.map(|position| {
        let time = from_sql(row.try_get(8)?);
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
