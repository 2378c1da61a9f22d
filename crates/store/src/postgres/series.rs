//! Time series on PostgreSQL, with TimescaleDB or without.

use std::collections::HashMap;

use async_trait::async_trait;
use cornjacket_domain::{RollupStep, Sample, SeriesKey, Summary, Timestamp};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use time::Date;

use super::event_log::{from_sql, signed, to_sql};
use super::offsets::PostgresTx;
use super::snapshot::PostgresSnapshot;
use crate::StoreError;
use crate::series::{ListedSeries, RollupKey, SeriesFilter, SeriesId, SeriesSnapshot, SeriesTx, TimeRange};

const KNOWN: &str =
    "select n, id, unit from unnest($1::text[], $2::text[]) with ordinality as wanted (subject, metric, n)
    join timeseries.series using (subject, metric)";
// In the order of the key, so that no two writers wait for each other.
const MAKE: &str = "insert into timeseries.series (subject, metric, unit)
    select subject, metric, unit from unnest($1::text[], $2::text[], $3::text[]) as fresh (subject, metric, unit)
    order by subject, metric
    on conflict (subject, metric) do update set unit = excluded.unit returning subject, metric, id";
// Changes nothing, so that there is a row to return.
const MAKE_AHEAD: &str = "insert into timeseries.series as known (subject, metric, unit)
    select subject, metric, unit from unnest($1::text[], $2::text[], $3::text[]) as fresh (subject, metric, unit)
    order by subject, metric
    on conflict (subject, metric) do update set unit = known.unit returning subject, metric, id";
const ENSURE_DAYS: &str = "select timeseries.ensure_days($1)";
const LOAD_ROLLUPS: &str = "select series_id, step, bucket, count, sum, min, max,
        first_time, first_position, first_value, last_time, last_position, last_value
    from unnest($1::bigint[], $2::integer[], $3::timestamptz[]) as wanted (series_id, step, bucket)
    join timeseries.rollups using (series_id, step, bucket)
    where bucket >= $4 and bucket <= $5";
const ADD_SAMPLES: &str = "insert into timeseries.samples (series_id, time, position, value)
    select * from unnest($1::bigint[], $2::timestamptz[], $3::bigint[], $4::double precision[])";
const SAVE_ROLLUPS: &str = "insert into timeseries.rollups (series_id, step, bucket, count, sum, min, max,
        first_time, first_position, first_value, last_time, last_position, last_value)
    select * from unnest($1::bigint[], $2::integer[], $3::timestamptz[], $4::bigint[], $5::double precision[],
        $6::double precision[], $7::double precision[], $8::timestamptz[], $9::bigint[], $10::double precision[],
        $11::timestamptz[], $12::bigint[], $13::double precision[])
    on conflict (series_id, step, bucket) do update set
        count = excluded.count, sum = excluded.sum, min = excluded.min, max = excluded.max,
        first_time = excluded.first_time, first_position = excluded.first_position,
        first_value = excluded.first_value, last_time = excluded.last_time,
        last_position = excluded.last_position, last_value = excluded.last_value";

const FIND: &str = "select id, unit from timeseries.series where subject = $1 and metric = $2";
const KEY: &str = "select subject, metric from timeseries.series where id = $1";
const LIST: &str = "select subject, metric, unit, last_time, last_position, last_value, id
    from timeseries.series cross join lateral (
        select last_time, last_position, last_value from timeseries.rollups
        where series_id = id and step = 3600 and bucket >= $4 order by bucket desc limit 1) as latest
    where (subject, metric) > ($1, $2) and last_time >= $5 order by subject, metric limit $3";
const LIST_SUBJECT: &str = "select subject, metric, unit, last_time, last_position, last_value, id
    from timeseries.series cross join lateral (
        select last_time, last_position, last_value from timeseries.rollups
        where series_id = id and step = 3600 and bucket >= $4 order by bucket desc limit 1) as latest
    where subject = $1 and metric > $2 and last_time >= $5 order by metric limit $3";
const LATEST: &str = "select last_time, last_position, last_value from timeseries.rollups
    where series_id = $1 and step = 3600 and bucket >= $2 order by bucket desc limit 1";
const SAMPLES: &str = "select time, position, value from timeseries.samples
    where series_id = $1 and time >= $2 and time < $3 and (time, position) > ($4, $5)
    order by time, position limit $6";
const BEFORE: &str = "select n, latest.time, latest.position, value
    from unnest($1::text[], $2::text[], $3::timestamptz[], $4::bigint[])
        with ordinality as wanted (subject, metric, time, position, n)
    join timeseries.series using (subject, metric)
    cross join lateral (
        select s.time, s.position, value from timeseries.samples s
        where series_id = id and s.time >= $5 and s.time <= wanted.time and s.position < wanted.position
        order by s.time desc, s.position desc limit $6) as latest
    order by n, latest.position";
const ROLLUPS: &str = "select bucket, count, sum, min, max,
        first_time, first_position, first_value, last_time, last_position, last_value
    from timeseries.rollups where series_id = $1 and step = $2 and bucket >= $3 and bucket < $4 order by bucket";

#[async_trait]
impl SeriesTx for PostgresTx {
    async fn series(&mut self, wanted: &[(&SeriesKey, &str)]) -> Result<Vec<SeriesId>, StoreError> {
        let known = known(&mut self.0, wanted).await?;
        let known = known
            .into_iter()
            .zip(wanted)
            .map(|(known, (_, unit))| known.filter(|(_, known)| known == unit).map(|(id, _)| id));
        make_missing(&mut self.0, MAKE, known.collect(), wanted).await
    }

    async fn series_ahead(
        &mut self,
        wanted: &[(&SeriesKey, &str)],
        times: &[Timestamp],
    ) -> Result<Vec<SeriesId>, StoreError> {
        let known = known(&mut self.0, wanted).await?;
        let known = known.into_iter().map(|known| known.map(|(id, _)| id));
        let ids = make_missing(&mut self.0, MAKE_AHEAD, known.collect(), wanted).await?;
        // Series before days, as their writer does: nobody waits for somebody who waits for him.
        ensure_days(&mut self.0, times.iter().copied()).await?;
        Ok(ids)
    }

    async fn load_rollups(&mut self, keys: &[RollupKey]) -> Result<HashMap<RollupKey, Summary>, StoreError> {
        // The bounds let PostgreSQL leave out the days in which none is.
        let (Some(first), Some(last)) =
            (keys.iter().map(|key| key.bucket).min(), keys.iter().map(|key| key.bucket).max())
        else {
            return Ok(HashMap::new());
        };
        let query = sqlx::query(LOAD_ROLLUPS)
            .bind(keys.iter().map(|key| key.series.0).collect::<Vec<_>>())
            .bind(keys.iter().map(|key| seconds(key.step)).collect::<Vec<_>>())
            .bind(keys.iter().map(|key| to_sql(key.bucket)).collect::<Vec<_>>())
            .bind(to_sql(first))
            .bind(to_sql(last));
        let rows = query.fetch_all(&mut *self.0).await?;
        rows.iter().map(|row| Ok((rollup_key(row)?, summary(row, 3)?))).collect()
    }

    async fn add_samples(&mut self, samples: &[(SeriesId, Sample)]) -> Result<(), StoreError> {
        ensure_days(&mut self.0, samples.iter().map(|(_, sample)| sample.time)).await?;
        sqlx::query(ADD_SAMPLES)
            .bind(samples.iter().map(|(series, _)| series.0).collect::<Vec<_>>())
            .bind(samples.iter().map(|(_, sample)| to_sql(sample.time)).collect::<Vec<_>>())
            .bind(samples.iter().map(|(_, sample)| sample.position.cast_signed()).collect::<Vec<_>>())
            .bind(samples.iter().map(|(_, sample)| sample.value).collect::<Vec<_>>())
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    async fn save_rollups(&mut self, rollups: &[(RollupKey, Summary)]) -> Result<(), StoreError> {
        let position = |sample: &Sample| sample.position.cast_signed();
        let query = sqlx::query(SAVE_ROLLUPS)
            .bind(rollups.iter().map(|(key, _)| key.series.0).collect::<Vec<_>>())
            .bind(rollups.iter().map(|(key, _)| seconds(key.step)).collect::<Vec<_>>())
            .bind(rollups.iter().map(|(key, _)| to_sql(key.bucket)).collect::<Vec<_>>())
            .bind(rollups.iter().map(|(_, of)| of.count.cast_signed()).collect::<Vec<_>>())
            .bind(rollups.iter().map(|(_, of)| of.sum).collect::<Vec<_>>())
            .bind(rollups.iter().map(|(_, of)| of.min).collect::<Vec<_>>())
            .bind(rollups.iter().map(|(_, of)| of.max).collect::<Vec<_>>())
            .bind(rollups.iter().map(|(_, of)| to_sql(of.first.time)).collect::<Vec<_>>())
            .bind(rollups.iter().map(|(_, of)| position(&of.first)).collect::<Vec<_>>())
            .bind(rollups.iter().map(|(_, of)| of.first.value).collect::<Vec<_>>())
            .bind(rollups.iter().map(|(_, of)| to_sql(of.last.time)).collect::<Vec<_>>())
            .bind(rollups.iter().map(|(_, of)| position(&of.last)).collect::<Vec<_>>())
            .bind(rollups.iter().map(|(_, of)| of.last.value).collect::<Vec<_>>());
        query.execute(&mut *self.0).await?;
        Ok(())
    }
}

fn subjects<'a>(wanted: &[(&'a SeriesKey, &str)]) -> Vec<&'a str> {
    wanted.iter().map(|(key, _)| key.subject.as_str()).collect()
}

fn metrics<'a>(wanted: &[(&'a SeriesKey, &str)]) -> Vec<&'a str> {
    wanted.iter().map(|(key, _)| key.metric.as_str()).collect()
}

/// Makes the partitions of days.
async fn ensure_days(
    connection: &mut PgConnection,
    times: impl Iterator<Item = Timestamp>,
) -> Result<(), StoreError> {
    let mut days: Vec<Date> = times.map(|time| to_sql(time).date()).collect();
    days.sort_unstable();
    days.dedup();
    sqlx::query(ENSURE_DAYS).bind(days).execute(connection).await?;
    Ok(())
}

/// The ids and units of those series that are there.
async fn known(
    connection: &mut PgConnection,
    wanted: &[(&SeriesKey, &str)],
) -> Result<Vec<Option<(SeriesId, String)>>, StoreError> {
    let mut found = vec![None; wanted.len()];
    let rows = sqlx::query(KNOWN).bind(subjects(wanted)).bind(metrics(wanted)).fetch_all(connection);
    for row in rows.await? {
        let at = usize::try_from(row.try_get::<i64, _>(0)? - 1).expect("counted from one");
        found[at] = Some((SeriesId(row.try_get(1)?), row.try_get(2)?));
    }
    Ok(found)
}

/// The ids of series: those that are known, and those that a statement makes or changes.
async fn make_missing(
    connection: &mut PgConnection,
    statement: &'static str,
    mut found: Vec<Option<SeriesId>>,
    wanted: &[(&SeriesKey, &str)],
) -> Result<Vec<SeriesId>, StoreError> {
    let fresh: Vec<usize> = (0..wanted.len()).filter(|at| found[*at].is_none()).collect();
    if !fresh.is_empty() {
        let missing: Vec<_> = fresh.iter().map(|at| wanted[*at]).collect();
        let units: Vec<&str> = missing.iter().map(|(_, unit)| *unit).collect();
        let query = sqlx::query(statement).bind(subjects(&missing)).bind(metrics(&missing)).bind(units);
        let rows = query.fetch_all(connection).await?;
        let made = rows.iter().map(|row| Ok((series_key(row)?, SeriesId(row.try_get(2)?))));
        let mut made: HashMap<_, _> = made.collect::<Result<_, StoreError>>()?;
        for at in fresh {
            found[at] = made.remove(wanted[at].0);
        }
    }
    Ok(found.into_iter().map(|id| id.expect("it was there or was made")).collect())
}

#[async_trait]
impl SeriesSnapshot for PostgresSnapshot {
    async fn find_series(&mut self, key: &SeriesKey) -> Result<Option<(SeriesId, String)>, StoreError> {
        let query = sqlx::query(FIND).bind(&key.subject).bind(&key.metric);
        let row = query.fetch_optional(&mut *self.0).await?;
        row.map(|row| Ok((SeriesId(row.try_get(0)?), row.try_get(1)?))).transpose()
    }

    async fn list_series(&mut self, filter: &SeriesFilter<'_>) -> Result<Vec<ListedSeries>, StoreError> {
        // Series are for ever: one that is not there is not ours, and the list begins anew.
        let id = filter.after.map_or(0, |after| after.0);
        let after = sqlx::query(KEY).bind(id).fetch_optional(&mut *self.0).await?;
        let after = after.as_ref().map(series_key).transpose()?;
        let (subject, metric) = after.map_or_else(Default::default, |after| (after.subject, after.metric));
        let query = match filter.subject {
            Some(subject) => sqlx::query(LIST_SUBJECT).bind(subject),
            None => sqlx::query(LIST).bind(subject),
        };
        let query = query
            .bind(metric)
            .bind(i64::from(filter.limit))
            .bind(to_sql(RollupStep::Hour.bucket_of(filter.since)))
            .bind(to_sql(filter.since));
        query.fetch_all(&mut *self.0).await?.iter().map(listed).collect()
    }

    async fn latest(&mut self, series: SeriesId, since: Timestamp) -> Result<Option<Sample>, StoreError> {
        let query = sqlx::query(LATEST).bind(series.0).bind(to_sql(RollupStep::Hour.bucket_of(since)));
        query.fetch_optional(&mut *self.0).await?.map(|row| sample(&row, 0)).transpose()
    }

    async fn samples(
        &mut self,
        series: SeriesId,
        range: TimeRange,
        after: Option<(Timestamp, u64)>,
        limit: u32,
    ) -> Result<Vec<Sample>, StoreError> {
        // No position is below 1.
        let (time, position) = after.unwrap_or((range.start, 0));
        let query = sqlx::query(SAMPLES)
            .bind(series.0)
            .bind(to_sql(time))
            .bind(to_sql(range.end))
            .bind(to_sql(time))
            .bind(signed(position))
            .bind(i64::from(limit));
        query.fetch_all(&mut *self.0).await?.iter().map(|row| sample(row, 0)).collect()
    }

    async fn samples_before(
        &mut self,
        places: &[(&SeriesKey, (Timestamp, u64))],
        since: Timestamp,
        most: u32,
    ) -> Result<Vec<Vec<Sample>>, StoreError> {
        let query = sqlx::query(BEFORE)
            .bind(places.iter().map(|(key, _)| key.subject.as_str()).collect::<Vec<_>>())
            .bind(places.iter().map(|(key, _)| key.metric.as_str()).collect::<Vec<_>>())
            .bind(places.iter().map(|(_, (time, _))| to_sql(*time)).collect::<Vec<_>>())
            .bind(places.iter().map(|(_, (_, position))| signed(*position)).collect::<Vec<_>>())
            .bind(to_sql(since))
            .bind(i64::from(most));
        let mut found = vec![Vec::new(); places.len()];
        for row in query.fetch_all(&mut *self.0).await? {
            let at = usize::try_from(row.try_get::<i64, _>(0)? - 1).expect("counted from one");
            found[at].push(sample(&row, 1)?);
        }
        Ok(found)
    }

    async fn rollups(
        &mut self,
        series: SeriesId,
        step: RollupStep,
        range: TimeRange,
    ) -> Result<Vec<(Timestamp, Summary)>, StoreError> {
        let query = sqlx::query(ROLLUPS)
            .bind(series.0)
            .bind(seconds(step))
            .bind(to_sql(range.start))
            .bind(to_sql(range.end));
        let rows = query.fetch_all(&mut *self.0).await?;
        rows.iter().map(|row| Ok((from_sql(row.try_get(0)?), summary(row, 1)?))).collect()
    }
}

const fn seconds(step: RollupStep) -> i32 {
    step.seconds().cast_signed()
}

fn series_key(row: &PgRow) -> Result<SeriesKey, StoreError> {
    Ok(SeriesKey { subject: row.try_get(0)?, metric: row.try_get(1)? })
}

fn listed(row: &PgRow) -> Result<ListedSeries, StoreError> {
    let id = SeriesId(row.try_get(6)?);
    Ok(ListedSeries { id, key: series_key(row)?, unit: row.try_get(2)?, last: sample(row, 3)? })
}

fn rollup_key(row: &PgRow) -> Result<RollupKey, StoreError> {
    let step = if row.try_get::<i32, _>(1)? == seconds(RollupStep::Minute) {
        RollupStep::Minute
    } else {
        RollupStep::Hour
    };
    Ok(RollupKey { series: SeriesId(row.try_get(0)?), step, bucket: from_sql(row.try_get(2)?) })
}

fn sample(row: &PgRow, column: usize) -> Result<Sample, StoreError> {
    Ok(Sample {
        time: from_sql(row.try_get(column)?),
        position: row.try_get::<i64, _>(column + 1)?.cast_unsigned(),
        value: row.try_get(column + 2)?,
    })
}

fn summary(row: &PgRow, column: usize) -> Result<Summary, StoreError> {
    Ok(Summary {
        count: row.try_get::<i64, _>(column)?.cast_unsigned(),
        sum: row.try_get(column + 1)?,
        min: row.try_get(column + 2)?,
        max: row.try_get(column + 3)?,
        first: sample(row, column + 4)?,
        last: sample(row, column + 7)?,
    })
}
