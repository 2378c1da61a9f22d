//! Time series on SQLite.

use std::collections::HashMap;
use std::sync::LazyLock;

use async_trait::async_trait;
use cornjacket_domain::{RollupStep, Sample, SeriesKey, Summary, Timestamp};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row};

use super::event_log::signed;
use super::offsets::SqliteTx;
use super::rows::{Statements, cut, statements};
use super::snapshot::SqliteSnapshot;
use crate::StoreError;
use crate::series::{ListedSeries, RollupKey, SeriesFilter, SeriesId, SeriesSnapshot, SeriesTx, TimeRange};

static KNOWN: LazyLock<Statements> = LazyLock::new(|| {
    let after = ") select wanted.n, s.id, s.unit from wanted
        cross join series s on s.subject = wanted.subject and s.metric = wanted.metric";
    statements("with wanted (n, subject, metric) as (values ", 3, after)
});
// Changes nothing, so that there is a row to return.
const MAKE_AHEAD: &str = "insert into series (subject, metric, unit) values (?, ?, ?)
    on conflict (subject, metric) do update set unit = unit returning id";
const MAKE: &str = "insert into series (subject, metric, unit) values (?, ?, ?)
    on conflict (subject, metric) do update set unit = excluded.unit returning id";
static LOAD_ROLLUPS: LazyLock<Statements> = LazyLock::new(|| {
    let after = ") select series_id, step, bucket, count, sum, min, max,
            first_time, first_position, first_value, last_time, last_position, last_value
        from wanted cross join rollups using (series_id, step, bucket)";
    statements("with wanted (series_id, step, bucket) as (values ", 3, after)
});
static ADD_SAMPLES: LazyLock<Statements> =
    LazyLock::new(|| statements("insert into samples (series_id, time, position, value) values ", 4, ""));
static SAVE_ROLLUPS: LazyLock<Statements> = LazyLock::new(|| {
    let before = "insert into rollups (series_id, step, bucket, count, sum, min, max,
        first_time, first_position, first_value, last_time, last_position, last_value) values ";
    let after = " on conflict (series_id, step, bucket) do update set
        count = excluded.count, sum = excluded.sum, min = excluded.min, max = excluded.max,
        first_time = excluded.first_time, first_position = excluded.first_position,
        first_value = excluded.first_value, last_time = excluded.last_time,
        last_position = excluded.last_position, last_value = excluded.last_value";
    statements(before, 13, after)
});

const FIND: &str = "select id, unit from series where subject = ? and metric = ?";
// A join of series with their latest hour, as PostgreSQL has it in a lateral one.
const KEY: &str = "select subject, metric from series where id = ?";
const LIST: &str = "select s.subject, s.metric, s.unit, r.last_time, r.last_position, r.last_value, s.id
    from series s join rollups r on r.series_id = s.id and r.step = 3600 and r.bucket = (
        select max(bucket) from rollups where series_id = s.id and step = 3600 and bucket >= ?4)
    where (s.subject, s.metric) > (?1, ?2) and r.last_time >= ?5 order by s.subject, s.metric limit ?3";
const LIST_SUBJECT: &str =
    "select s.subject, s.metric, s.unit, r.last_time, r.last_position, r.last_value, s.id
    from series s join rollups r on r.series_id = s.id and r.step = 3600 and r.bucket = (
        select max(bucket) from rollups where series_id = s.id and step = 3600 and bucket >= ?4)
    where s.subject = ?1 and s.metric > ?2 and r.last_time >= ?5 order by s.metric limit ?3";
const LATEST: &str = "select last_time, last_position, last_value from rollups
    where series_id = ? and step = 3600 and bucket >= ? order by bucket desc limit 1";
const SAMPLES: &str = "select time, position, value from samples
    where series_id = ? and time < ? and (time, position) > (?, ?) order by time, position limit ?";
const BEFORE: &str = "select time, position, value from (
        select s.time, s.position, s.value from series join samples s on s.series_id = id
        where subject = ? and metric = ? and s.time >= ? and s.time <= ? and s.position < ?
        order by s.time desc, s.position desc limit ?)
    order by position";
const ROLLUPS: &str = "select bucket, count, sum, min, max,
        first_time, first_position, first_value, last_time, last_position, last_value
    from rollups where series_id = ? and step = ? and bucket >= ? and bucket < ? order by bucket";

#[async_trait]
impl SeriesTx for SqliteTx {
    async fn series(&mut self, wanted: &[(&SeriesKey, &str)]) -> Result<Vec<SeriesId>, StoreError> {
        let known = known(&mut self.0, wanted).await?;
        let known = known
            .into_iter()
            .zip(wanted)
            .map(|(known, (_, unit))| known.filter(|(_, known)| known == unit).map(|(id, _)| id));
        make(&mut self.0, MAKE, known.collect(), wanted).await
    }

    async fn series_ahead(
        &mut self,
        wanted: &[(&SeriesKey, &str)],
        _times: &[Timestamp],
    ) -> Result<Vec<SeriesId>, StoreError> {
        let known = known(&mut self.0, wanted).await?;
        let known = known.into_iter().map(|known| known.map(|(id, _)| id));
        make(&mut self.0, MAKE_AHEAD, known.collect(), wanted).await
    }

    async fn load_rollups(&mut self, keys: &[RollupKey]) -> Result<HashMap<RollupKey, Summary>, StoreError> {
        let mut found = HashMap::with_capacity(keys.len());
        for (which, piece) in cut(keys) {
            let mut query = sqlx::query(AssertSqlSafe(LOAD_ROLLUPS[which].as_str()));
            for key in piece {
                query = query.bind(key.series.0).bind(key.step.seconds()).bind(key.bucket.as_micros());
            }
            for row in query.fetch_all(&mut *self.0).await? {
                found.insert(rollup_key(&row)?, summary(&row, 3)?);
            }
        }
        Ok(found)
    }

    async fn add_samples(&mut self, samples: &[(SeriesId, Sample)]) -> Result<(), StoreError> {
        for (which, piece) in cut(samples) {
            let mut query = sqlx::query(AssertSqlSafe(ADD_SAMPLES[which].as_str()));
            for (series, sample) in piece {
                query = query.bind(series.0).bind(sample.time.as_micros());
                query = query.bind(sample.position.cast_signed()).bind(sample.value);
            }
            query.execute(&mut *self.0).await?;
        }
        Ok(())
    }

    async fn save_rollups(&mut self, rollups: &[(RollupKey, Summary)]) -> Result<(), StoreError> {
        for (which, piece) in cut(rollups) {
            let mut query = sqlx::query(AssertSqlSafe(SAVE_ROLLUPS[which].as_str()));
            for (key, of) in piece {
                query = query.bind(key.series.0).bind(key.step.seconds()).bind(key.bucket.as_micros());
                query = query.bind(of.count.cast_signed()).bind(of.sum).bind(of.min).bind(of.max);
                for sample in [of.first, of.last] {
                    query = query.bind(sample.time.as_micros());
                    query = query.bind(sample.position.cast_signed()).bind(sample.value);
                }
            }
            query.execute(&mut *self.0).await?;
        }
        Ok(())
    }
}

/// The ids and units of those series that are there.
async fn known(
    connection: &mut SqliteConnection,
    wanted: &[(&SeriesKey, &str)],
) -> Result<Vec<Option<(SeriesId, String)>>, StoreError> {
    let mut found = vec![None; wanted.len()];
    let numbered: Vec<_> = wanted.iter().enumerate().collect();
    for (which, piece) in cut(&numbered) {
        let mut query = sqlx::query(AssertSqlSafe(KNOWN[which].as_str()));
        for (at, (key, _)) in piece {
            let at = i64::try_from(*at).expect("a batch fits into memory");
            query = query.bind(at).bind(&key.subject).bind(&key.metric);
        }
        for row in query.fetch_all(&mut *connection).await? {
            let at = usize::try_from(row.try_get::<i64, _>(0)?).expect("a number given above");
            found[at] = Some((SeriesId(row.try_get(1)?), row.try_get(2)?));
        }
    }
    Ok(found)
}

/// The ids of series: those that are known, and those that a statement makes or changes.
async fn make(
    connection: &mut SqliteConnection,
    statement: &'static str,
    known: Vec<Option<SeriesId>>,
    wanted: &[(&SeriesKey, &str)],
) -> Result<Vec<SeriesId>, StoreError> {
    let mut ids = Vec::with_capacity(wanted.len());
    for (known, (key, unit)) in known.into_iter().zip(wanted) {
        ids.push(if let Some(id) = known {
            id
        } else {
            let query = sqlx::query_scalar(statement).bind(&key.subject).bind(&key.metric).bind(*unit);
            SeriesId(query.fetch_one(&mut *connection).await?)
        });
    }
    Ok(ids)
}

#[async_trait]
impl SeriesSnapshot for SqliteSnapshot {
    async fn find_series(&mut self, key: &SeriesKey) -> Result<Option<(SeriesId, String)>, StoreError> {
        let query = sqlx::query(FIND).bind(&key.subject).bind(&key.metric);
        let row = query.fetch_optional(self.timeseries().await?).await?;
        row.map(|row| Ok((SeriesId(row.try_get(0)?), row.try_get(1)?))).transpose()
    }

    async fn list_series(&mut self, filter: &SeriesFilter<'_>) -> Result<Vec<ListedSeries>, StoreError> {
        // Series are for ever: one that is not there is not ours, and the list begins anew.
        let id = filter.after.map_or(0, |after| after.0);
        let after = sqlx::query(KEY).bind(id).fetch_optional(self.timeseries().await?).await?;
        let after = after.as_ref().map(series_key).transpose()?;
        let (subject, metric) = after.map_or_else(Default::default, |after| (after.subject, after.metric));
        let query = match filter.subject {
            Some(subject) => sqlx::query(LIST_SUBJECT).bind(subject),
            None => sqlx::query(LIST).bind(subject),
        };
        let query = query
            .bind(metric)
            .bind(filter.limit)
            .bind(RollupStep::Hour.bucket_of(filter.since).as_micros())
            .bind(filter.since.as_micros());
        query.fetch_all(self.timeseries().await?).await?.iter().map(listed).collect()
    }

    async fn latest(&mut self, series: SeriesId, since: Timestamp) -> Result<Option<Sample>, StoreError> {
        let bucket = RollupStep::Hour.bucket_of(since).as_micros();
        let query = sqlx::query(LATEST).bind(series.0).bind(bucket);
        let row = query.fetch_optional(self.timeseries().await?).await?;
        row.map(|row| sample(&row, 0)).transpose()
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
            .bind(range.end.as_micros())
            .bind(time.as_micros())
            .bind(signed(position))
            .bind(limit);
        query.fetch_all(self.timeseries().await?).await?.iter().map(|row| sample(row, 0)).collect()
    }

    async fn samples_before(
        &mut self,
        places: &[(&SeriesKey, (Timestamp, u64))],
        since: Timestamp,
        most: u32,
    ) -> Result<Vec<Vec<Sample>>, StoreError> {
        let mut found = Vec::with_capacity(places.len());
        for (key, (time, position)) in places {
            let query = sqlx::query(BEFORE)
                .bind(&key.subject)
                .bind(&key.metric)
                .bind(since.as_micros())
                .bind(time.as_micros())
                .bind(signed(*position))
                .bind(most);
            let rows = query.fetch_all(self.timeseries().await?).await?;
            found.push(rows.iter().map(|row| sample(row, 0)).collect::<Result<_, _>>()?);
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
            .bind(step.seconds())
            .bind(range.start.as_micros())
            .bind(range.end.as_micros());
        let rows = query.fetch_all(self.timeseries().await?).await?;
        rows.iter().map(|row| Ok((time(row, 0)?, summary(row, 1)?))).collect()
    }
}

fn time(row: &SqliteRow, column: usize) -> Result<Timestamp, StoreError> {
    Ok(Timestamp::from_micros(row.try_get(column)?))
}

fn series_key(row: &SqliteRow) -> Result<SeriesKey, StoreError> {
    Ok(SeriesKey { subject: row.try_get(0)?, metric: row.try_get(1)? })
}

fn listed(row: &SqliteRow) -> Result<ListedSeries, StoreError> {
    let id = SeriesId(row.try_get(6)?);
    Ok(ListedSeries { id, key: series_key(row)?, unit: row.try_get(2)?, last: sample(row, 3)? })
}

fn rollup_key(row: &SqliteRow) -> Result<RollupKey, StoreError> {
    let minute = row.try_get::<u32, _>(1)? == RollupStep::Minute.seconds();
    let step = if minute { RollupStep::Minute } else { RollupStep::Hour };
    Ok(RollupKey { series: SeriesId(row.try_get(0)?), step, bucket: time(row, 2)? })
}

fn sample(row: &SqliteRow, column: usize) -> Result<Sample, StoreError> {
    Ok(Sample {
        time: time(row, column)?,
        position: row.try_get::<i64, _>(column + 1)?.cast_unsigned(),
        value: row.try_get(column + 2)?,
    })
}

fn summary(row: &SqliteRow, column: usize) -> Result<Summary, StoreError> {
    Ok(Summary {
        count: row.try_get::<i64, _>(column)?.cast_unsigned(),
        sum: row.try_get(column + 1)?,
        min: row.try_get(column + 2)?,
        max: row.try_get(column + 3)?,
        first: sample(row, column + 4)?,
        last: sample(row, column + 7)?,
    })
}
