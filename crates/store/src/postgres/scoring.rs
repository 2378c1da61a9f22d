//! Scores, states of detectors, and what is on its way into the log, on PostgreSQL.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use cornjacket_domain::{Sample, Shard, Timestamp};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{Postgres, Row};
use tokio::sync::watch;

use super::PostgresStore;
use super::event_log::{from_sql, signed, to_sql};
use super::models::model;
use super::offsets::PostgresTx;
use super::snapshot::PostgresSnapshot;
use crate::models::{Change, Control, ModelId};
use crate::scoring::{
    DetectorKey, ModelName, Outbox, SavedState, Score, ScorePlace, ScoringSnapshot, ScoringTx, Taken, Turn,
};
use crate::{SeriesId, StoreError, TimeRange};

// The subquery sees the row as it was before.
const TURN: &str =
    "insert into timeseries.shards as known (shard, turn, memory, controls) values ($1, 1, $2, 0)
    on conflict (shard) do update set turn = known.turn + 1, memory = excluded.memory
    returning turn, controls, (select coalesce(max(seq), 0) from timeseries.controls),
        (select memory = $2 from timeseries.shards where shard = $1)";
const CONTROLS: &str = "select seq, change, series_id,
        id, version, name, detector, code, subjects, metrics, parameters
    from timeseries.controls join timeseries.models on id = model_id
    where seq > $1 and (series_id is null or (seq > $2 and shard = $3)) order by seq";
const TOOK: &str = "with marked as (
        insert into timeseries.control_marks (shard, seq, after_position)
        select $1, seq, $3 from timeseries.controls
        where seq > (select controls from timeseries.shards where shard = $1) and seq <= $2)
    update timeseries.shards set controls = $2 where shard = $1";
const TOOK_LATE: &str = "insert into timeseries.late_marks (shard, subject, seq, after_position)
    select $1, $2, $3, $4
    where exists (select from timeseries.control_marks where shard = $1 and seq <= $3 and after_position > $4)
    on conflict do nothing";
const LOAD: &str = "select series_id, model_id, since, last_time, last_position, state
    from unnest($1::bigint[], $2::integer[]) as wanted (series_id, model_id)
    join timeseries.detector_states using (series_id, model_id)";
const SINCE: &str = "select series_id, s.time, s.position, s.value
    from unnest($1::bigint[], $2::timestamptz[], $3::bigint[]) as wanted (series_id, time, position)
    cross join lateral (
        select time, position, value from timeseries.samples
        where series_id = wanted.series_id and (time, position) > (wanted.time, wanted.position) and time >= $4 and position < $5) as s
    order by series_id, s.position";
const SAVE: &str = "insert into timeseries.detector_states (series_id, model_id, since, last_time, last_position, state)
    select * from unnest($1::bigint[], $2::integer[], $3::bigint[], $4::timestamptz[], $5::bigint[], $6::bytea[])
    on conflict (series_id, model_id) do update set since = excluded.since,
        last_time = excluded.last_time, last_position = excluded.last_position, state = excluded.state";
const ADD: &str = "insert into timeseries.scores
        (series_id, time, position, model_id, score, expected, lower, upper, severity, unscored)
    select * from unnest($1::bigint[], $2::timestamptz[], $3::bigint[], $4::integer[], $5::double precision[],
        $6::double precision[], $7::double precision[], $8::double precision[], $9::smallint[], $10::text[])";
const SEND: &str = "insert into timeseries.outbox (event)
    select event from unnest($1::bytea[]) with ordinality as sent (event, n) order by n";
const SCORES: &str = "select time, position, model_id, score, expected, lower, upper, severity, unscored
    from timeseries.scores
    where series_id = $1 and time >= $2 and time < $3 and (time, position, model_id) > ($2, $4, $5)
    order by time, position, model_id limit $6";
const FINDINGS: &str = "select time, position, model_id, score, expected, lower, upper, severity, unscored
    from timeseries.scores
    where series_id = $1 and time >= $2 and time < $3 and (time, position, model_id) > ($2, $4, $5)
        and severity is not null and model_id = any($7)
    order by time, position, model_id limit $6";
const TAKEN: &str = "select c.seq, c.change, c.series_id,
        id, version, name, detector, code, subjects, metrics, parameters,
        least(m.after_position, (
            select min(after_position) from timeseries.late_marks
            where shard = m.shard and subject = $2 and seq >= m.seq))
    from timeseries.control_marks m join timeseries.controls c on c.seq = m.seq join timeseries.models on id = c.model_id
    where m.shard = $1 and (c.series_id is null or c.shard = m.shard) order by c.seq";
const NAMES: &str = "select id, name, version from timeseries.models";
const WAITING: &str = "select id, event from timeseries.outbox order by id limit $1";
const ARRIVED: &str = "delete from timeseries.outbox where id = any($1)";

#[async_trait]
impl ScoringTx for PostgresTx {
    async fn turn(&mut self, shard: Shard, memory: u64) -> Result<Turn, StoreError> {
        let query = sqlx::query(TURN).bind(shard.number().cast_signed()).bind(memory.cast_signed());
        let row = query.fetch_one(&mut *self.0).await?;
        let number = |column| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
        let is_ours = row.try_get::<Option<bool>, _>(3)?.unwrap_or(false);
        Ok(Turn { number: number(0)?, is_ours, controls: number(1)?, head: number(2)? })
    }

    async fn controls(
        &mut self,
        shard: Shard,
        after: u64,
        words_after: u64,
    ) -> Result<Vec<Control>, StoreError> {
        let query = sqlx::query(CONTROLS)
            .bind(signed(after))
            .bind(signed(words_after))
            .bind(shard.number().cast_signed());
        query.fetch_all(&mut *self.0).await?.iter().map(control).collect()
    }

    async fn took_controls(
        &mut self,
        shard: Shard,
        through: u64,
        after_position: u64,
    ) -> Result<(), StoreError> {
        let query = sqlx::query(TOOK).bind(shard.number().cast_signed()).bind(signed(through));
        query.bind(signed(after_position)).execute(&mut *self.0).await?;
        Ok(())
    }

    async fn took_late(
        &mut self,
        shard: Shard,
        subject: &str,
        through: u64,
        after_position: u64,
    ) -> Result<(), StoreError> {
        let query =
            sqlx::query(TOOK_LATE).bind(shard.number().cast_signed()).bind(subject).bind(signed(through));
        query.bind(signed(after_position)).execute(&mut *self.0).await?;
        Ok(())
    }

    async fn load_detectors(
        &mut self,
        keys: &[DetectorKey],
    ) -> Result<HashMap<DetectorKey, SavedState>, StoreError> {
        let query = sqlx::query(LOAD)
            .bind(keys.iter().map(|(series, _)| series.0).collect::<Vec<_>>())
            .bind(keys.iter().map(|(_, model)| model.0).collect::<Vec<_>>());
        query.fetch_all(&mut *self.0).await?.iter().map(saved).collect()
    }

    async fn samples_since(
        &mut self,
        marks: &[(SeriesId, (Timestamp, u64))],
        until: u64,
    ) -> Result<HashMap<SeriesId, Vec<Sample>>, StoreError> {
        // The bound lets PostgreSQL leave out the days before.
        let Some(first) = marks.iter().map(|(_, (time, _))| *time).min() else { return Ok(HashMap::new()) };
        let query = sqlx::query(SINCE)
            .bind(marks.iter().map(|(series, _)| series.0).collect::<Vec<_>>())
            .bind(marks.iter().map(|(_, (time, _))| to_sql(*time)).collect::<Vec<_>>())
            .bind(marks.iter().map(|(_, (_, position))| signed(*position)).collect::<Vec<_>>())
            .bind(to_sql(first))
            .bind(signed(until));
        let mut found: HashMap<SeriesId, Vec<Sample>> = HashMap::new();
        for row in query.fetch_all(&mut *self.0).await? {
            let time = from_sql(row.try_get(1)?);
            let position = row.try_get::<i64, _>(2)?.cast_unsigned();
            let sample = Sample { time, position, value: row.try_get(3)? };
            found.entry(SeriesId(row.try_get(0)?)).or_default().push(sample);
        }
        Ok(found)
    }

    async fn save_detectors(&mut self, states: &[(DetectorKey, SavedState)]) -> Result<(), StoreError> {
        let query = sqlx::query(SAVE)
            .bind(states.iter().map(|((series, _), _)| series.0).collect::<Vec<_>>())
            .bind(states.iter().map(|((_, model), _)| model.0).collect::<Vec<_>>())
            .bind(states.iter().map(|(_, saved)| signed(saved.since)).collect::<Vec<_>>())
            .bind(states.iter().map(|(_, saved)| to_sql(saved.last.0)).collect::<Vec<_>>())
            .bind(states.iter().map(|(_, saved)| signed(saved.last.1)).collect::<Vec<_>>())
            .bind(states.iter().map(|(_, saved)| saved.state.as_slice()).collect::<Vec<_>>());
        query.execute(&mut *self.0).await?;
        Ok(())
    }

    async fn add_scores(&mut self, scores: &[Score]) -> Result<(), StoreError> {
        let expected = |which: usize| -> Vec<Option<f64>> {
            scores.iter().map(|score| score.expected.map(|expected| expected[which])).collect()
        };
        let query = sqlx::query(ADD)
            .bind(scores.iter().map(|score| score.series.0).collect::<Vec<_>>())
            .bind(scores.iter().map(|score| to_sql(score.time)).collect::<Vec<_>>())
            .bind(scores.iter().map(|score| signed(score.position)).collect::<Vec<_>>())
            .bind(scores.iter().map(|score| score.model.0).collect::<Vec<_>>())
            .bind(scores.iter().map(|score| score.score).collect::<Vec<_>>())
            .bind(expected(0))
            .bind(expected(1))
            .bind(expected(2))
            .bind(scores.iter().map(|score| score.severity).collect::<Vec<_>>())
            .bind(scores.iter().map(|score| score.unscored.as_deref()).collect::<Vec<_>>());
        query.execute(&mut *self.0).await?;
        Ok(())
    }

    async fn send(&mut self, events: &[Vec<u8>]) -> Result<(), StoreError> {
        let events: Vec<&[u8]> = events.iter().map(Vec::as_slice).collect();
        sqlx::query(SEND).bind(events).execute(&mut *self.0).await?;
        self.1.sends();
        Ok(())
    }
}

/// Reads a page of scores.
fn page(
    statement: &'static str,
    series: SeriesId,
    range: TimeRange,
    after: Option<ScorePlace>,
    limit: u32,
) -> Query<'static, Postgres, PgArguments> {
    // No position is below 1.
    let (time, position, model) = after.unwrap_or((range.start, 0, ModelId(0)));
    sqlx::query(statement)
        .bind(series.0)
        .bind(to_sql(time))
        .bind(to_sql(range.end))
        .bind(signed(position))
        .bind(model.0)
        .bind(i64::from(limit))
}

#[async_trait]
impl ScoringSnapshot for PostgresSnapshot {
    async fn scores(
        &mut self,
        series: SeriesId,
        range: TimeRange,
        after: Option<ScorePlace>,
        limit: u32,
    ) -> Result<Vec<Score>, StoreError> {
        let rows = page(SCORES, series, range, after, limit).fetch_all(&mut *self.0).await?;
        rows.iter().map(|row| score(series, row)).collect()
    }

    async fn findings(
        &mut self,
        series: SeriesId,
        models: &[ModelId],
        range: TimeRange,
        after: Option<ScorePlace>,
        limit: u32,
    ) -> Result<Vec<Score>, StoreError> {
        let models: Vec<i32> = models.iter().map(|model| model.0).collect();
        let query = page(FINDINGS, series, range, after, limit).bind(models);
        query.fetch_all(&mut *self.0).await?.iter().map(|row| score(series, row)).collect()
    }

    async fn taken(&mut self, shard: Shard, subject: &str) -> Result<Vec<Taken>, StoreError> {
        let rows = sqlx::query(TAKEN)
            .bind(shard.number().cast_signed())
            .bind(subject)
            .fetch_all(&mut *self.0)
            .await?;
        rows.iter().map(taken).collect()
    }

    async fn model_names(&mut self) -> Result<Vec<ModelName>, StoreError> {
        let rows = sqlx::query(NAMES).fetch_all(&mut *self.0).await?;
        let name = |row: &PgRow| {
            let version = row.try_get::<i32, _>(2)?.cast_unsigned();
            Ok(ModelName { id: ModelId(row.try_get(0)?), name: row.try_get(1)?, version })
        };
        rows.iter().map(name).collect()
    }
}

/// The outbox of a [`PostgresStore`].
#[derive(Debug)]
pub struct PostgresOutbox(Arc<PostgresStore>);

impl PostgresOutbox {
    /// The outbox of `store`.
    pub const fn new(store: Arc<PostgresStore>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl Outbox for PostgresOutbox {
    async fn waiting(&self, limit: u32) -> Result<Vec<(i64, Vec<u8>)>, StoreError> {
        let query = sqlx::query_as(WAITING).bind(i64::from(limit));
        Ok(query.fetch_all(&self.0.effects).await?)
    }

    async fn arrived(&self, numbers: &[i64]) -> Result<(), StoreError> {
        sqlx::query(ARRIVED).bind(numbers).execute(&self.0.effects).await?;
        Ok(())
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.0.wakes.outbox.subscribe()
    }
}

fn control(row: &PgRow) -> Result<Control, StoreError> {
    let (change, series) = (row.try_get::<&str, _>(1)?, row.try_get::<Option<i64>, _>(2)?);
    let change = Change::from_kept(change, series.map(SeriesId));
    Ok(Control { seq: row.try_get::<i64, _>(0)?.cast_unsigned(), model: model(row, 3)?, change })
}

fn taken(row: &PgRow) -> Result<Taken, StoreError> {
    let after_position = row.try_get::<i64, _>(11)?.cast_unsigned();
    Ok(Taken { after_position, control: control(row)? })
}

fn saved(row: &PgRow) -> Result<(DetectorKey, SavedState), StoreError> {
    let last = (from_sql(row.try_get(3)?), row.try_get::<i64, _>(4)?.cast_unsigned());
    let since = row.try_get::<i64, _>(2)?.cast_unsigned();
    let key = (SeriesId(row.try_get(0)?), ModelId(row.try_get(1)?));
    Ok((key, SavedState { since, last, state: row.try_get(5)? }))
}

fn score(series: SeriesId, row: &PgRow) -> Result<Score, StoreError> {
    let expected: (Option<f64>, Option<f64>, Option<f64>) =
        (row.try_get(4)?, row.try_get(5)?, row.try_get(6)?);
    Ok(Score {
        series,
        time: from_sql(row.try_get(0)?),
        position: row.try_get::<i64, _>(1)?.cast_unsigned(),
        model: ModelId(row.try_get(2)?),
        score: row.try_get(3)?,
        expected: match expected {
            (Some(value), Some(lower), Some(upper)) => Some([value, lower, upper]),
            _ => None,
        },
        severity: row.try_get(7)?,
        unscored: row.try_get(8)?,
    })
}
