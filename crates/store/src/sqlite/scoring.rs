//! Scores, states of detectors, and what is on its way into the log, on SQLite.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use cornjacket_domain::{Sample, Shard, Timestamp};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, Row, Sqlite};
use tokio::sync::watch;

use super::SqliteStore;
use super::event_log::signed;
use super::models::model;
use super::offsets::SqliteTx;
use super::rows::{Statements, cut, statements};
use super::snapshot::SqliteSnapshot;
use crate::models::{Change, Control, ModelId};
use crate::scoring::{
    DetectorKey, ModelName, Outbox, SavedState, Score, ScorePlace, ScoringSnapshot, ScoringTx, Taken, Turn,
};
use crate::{SeriesId, StoreError, TimeRange};

const OURS: &str = "select memory = ?2 from shards where shard = ?1";
const TURN: &str = "insert into shards as known (shard, turn, memory, controls) values (?1, 1, ?2, 0)
    on conflict (shard) do update set turn = known.turn + 1, memory = excluded.memory
    returning turn, controls, (select coalesce(max(seq), 0) from controls)";
const CONTROLS: &str = "select seq, change, series_id,
        id, version, name, detector, code, subjects, metrics, parameters
    from controls join models on id = model_id
    where seq > ? and (series_id is null or (seq > ? and shard = ?)) order by seq";
const MARK: &str = "insert into control_marks (shard, seq, after_position)
    select ?1, seq, ?3 from controls
    where seq > (select controls from shards where shard = ?1) and seq <= ?2";
const TOOK: &str = "update shards set controls = ?2 where shard = ?1";
const TOOK_LATE: &str = "insert into late_marks (shard, subject, seq, after_position)
    select ?1, ?2, ?3, ?4
    where exists (select 1 from control_marks where shard = ?1 and seq <= ?3 and after_position > ?4)
    on conflict do nothing";
static LOAD: LazyLock<Statements> = LazyLock::new(|| {
    let after = ") select series_id, model_id, since, last_time, last_position, state
        from wanted cross join detector_states using (series_id, model_id)";
    statements("with wanted (series_id, model_id) as (values ", 2, after)
});
static SINCE: LazyLock<Statements> = LazyLock::new(|| {
    let after = ") select s.series_id, s.time, s.position, s.value from wanted w
        cross join samples s on s.series_id = w.series_id and (s.time, s.position) > (w.time, w.position)
        where s.position < ? order by s.series_id, s.position";
    statements("with wanted (series_id, time, position) as (values ", 3, after)
});
static SAVE: LazyLock<Statements> = LazyLock::new(|| {
    let before =
        "insert into detector_states (series_id, model_id, since, last_time, last_position, state) values ";
    let after = " on conflict (series_id, model_id) do update set since = excluded.since,
        last_time = excluded.last_time, last_position = excluded.last_position, state = excluded.state";
    statements(before, 6, after)
});
static ADD: LazyLock<Statements> = LazyLock::new(|| {
    let before = "insert into scores
        (series_id, time, position, model_id, score, expected, lower, upper, severity, unscored) values ";
    statements(before, 10, "")
});
static SEND: LazyLock<Statements> = LazyLock::new(|| statements("insert into outbox (event) values ", 1, ""));
const SCORES: &str = "select time, position, model_id, score, expected, lower, upper, severity, unscored
    from scores where series_id = ? and time < ? and (time, position, model_id) > (?, ?, ?)
    order by time, position, model_id limit ?";
const FINDINGS: &str = "select time, position, model_id, score, expected, lower, upper, severity, unscored
    from scores where series_id = ? and time < ? and (time, position, model_id) > (?, ?, ?)
        and severity is not null and model_id in (select value from json_each(?))
    order by time, position, model_id limit ?";
const TAKEN: &str = "select c.seq, c.change, c.series_id,
        id, version, name, detector, code, subjects, metrics, parameters,
        min(m.after_position, coalesce((
            select min(after_position) from late_marks
            where shard = m.shard and subject = ?2 and seq >= m.seq), m.after_position))
    from control_marks m join controls c on c.seq = m.seq join models on id = c.model_id
    where m.shard = ?1 and (c.series_id is null or c.shard = m.shard) order by c.seq";
const NAMES: &str = "select id, name, version from models";
const WAITING: &str = "select id, event from outbox order by id limit ?";
static ARRIVED: LazyLock<Statements> = LazyLock::new(|| {
    statements(
        "with arrived (id) as (values ",
        1,
        ") delete from outbox where id in (select id from arrived)",
    )
});

#[async_trait]
impl ScoringTx for SqliteTx {
    async fn turn(&mut self, shard: Shard, memory: u64) -> Result<Turn, StoreError> {
        let ours = sqlx::query_scalar(OURS).bind(shard.number()).bind(memory.cast_signed());
        let is_ours = ours.fetch_optional(&mut *self.0).await?.unwrap_or(false);
        let query = sqlx::query(TURN).bind(shard.number()).bind(memory.cast_signed());
        let row = query.fetch_one(&mut *self.0).await?;
        let number = |column| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
        Ok(Turn { number: number(0)?, is_ours, controls: number(1)?, head: number(2)? })
    }

    async fn controls(
        &mut self,
        shard: Shard,
        after: u64,
        words_after: u64,
    ) -> Result<Vec<Control>, StoreError> {
        let query = sqlx::query(CONTROLS).bind(signed(after)).bind(signed(words_after)).bind(shard.number());
        query.fetch_all(&mut *self.0).await?.iter().map(control).collect()
    }

    async fn took_controls(
        &mut self,
        shard: Shard,
        through: u64,
        after_position: u64,
    ) -> Result<(), StoreError> {
        let query = sqlx::query(MARK).bind(shard.number()).bind(signed(through)).bind(signed(after_position));
        query.execute(&mut *self.0).await?;
        sqlx::query(TOOK).bind(shard.number()).bind(signed(through)).execute(&mut *self.0).await?;
        Ok(())
    }

    async fn took_late(
        &mut self,
        shard: Shard,
        subject: &str,
        through: u64,
        after_position: u64,
    ) -> Result<(), StoreError> {
        let query = sqlx::query(TOOK_LATE).bind(shard.number()).bind(subject).bind(signed(through));
        query.bind(signed(after_position)).execute(&mut *self.0).await?;
        Ok(())
    }

    async fn load_detectors(
        &mut self,
        keys: &[DetectorKey],
    ) -> Result<HashMap<DetectorKey, SavedState>, StoreError> {
        let mut found = HashMap::with_capacity(keys.len());
        for (which, piece) in cut(keys) {
            let mut query = sqlx::query(AssertSqlSafe(LOAD[which].as_str()));
            for (series, model) in piece {
                query = query.bind(series.0).bind(model.0);
            }
            for row in query.fetch_all(&mut *self.0).await? {
                let (key, state) = saved(&row)?;
                found.insert(key, state);
            }
        }
        Ok(found)
    }

    async fn samples_since(
        &mut self,
        marks: &[(SeriesId, (Timestamp, u64))],
        until: u64,
    ) -> Result<HashMap<SeriesId, Vec<Sample>>, StoreError> {
        let mut found: HashMap<SeriesId, Vec<Sample>> = HashMap::new();
        for (which, piece) in cut(marks) {
            let mut query = sqlx::query(AssertSqlSafe(SINCE[which].as_str()));
            for (series, (time, position)) in piece {
                query = query.bind(series.0).bind(time.as_micros()).bind(signed(*position));
            }
            for row in query.bind(signed(until)).fetch_all(&mut *self.0).await? {
                let time = Timestamp::from_micros(row.try_get(1)?);
                let position = row.try_get::<i64, _>(2)?.cast_unsigned();
                let sample = Sample { time, position, value: row.try_get(3)? };
                found.entry(SeriesId(row.try_get(0)?)).or_default().push(sample);
            }
        }
        Ok(found)
    }

    async fn save_detectors(&mut self, states: &[(DetectorKey, SavedState)]) -> Result<(), StoreError> {
        for (which, piece) in cut(states) {
            let mut query = sqlx::query(AssertSqlSafe(SAVE[which].as_str()));
            for ((series, model), saved) in piece {
                query = query.bind(series.0).bind(model.0).bind(signed(saved.since));
                query = query.bind(saved.last.0.as_micros()).bind(signed(saved.last.1));
                query = query.bind(saved.state.as_slice());
            }
            query.execute(&mut *self.0).await?;
        }
        Ok(())
    }

    async fn add_scores(&mut self, scores: &[Score]) -> Result<(), StoreError> {
        for (which, piece) in cut(scores) {
            let mut query = sqlx::query(AssertSqlSafe(ADD[which].as_str()));
            for score in piece {
                let expected = |which: usize| score.expected.map(|expected| expected[which]);
                query = query.bind(score.series.0).bind(score.time.as_micros()).bind(signed(score.position));
                query = query.bind(score.model.0).bind(score.score);
                query = query.bind(expected(0)).bind(expected(1)).bind(expected(2));
                query = query.bind(score.severity).bind(score.unscored.as_deref());
            }
            query.execute(&mut *self.0).await?;
        }
        Ok(())
    }

    async fn send(&mut self, events: &[Vec<u8>]) -> Result<(), StoreError> {
        for (which, piece) in cut(events) {
            let mut query = sqlx::query(AssertSqlSafe(SEND[which].as_str()));
            for event in piece {
                query = query.bind(event.as_slice());
            }
            query.execute(&mut *self.0).await?;
        }
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
) -> Query<'static, Sqlite, SqliteArguments> {
    // No position is below 1.
    let (time, position, model) = after.unwrap_or((range.start, 0, ModelId(0)));
    sqlx::query(statement)
        .bind(series.0)
        .bind(range.end.as_micros())
        .bind(time.as_micros())
        .bind(signed(position))
        .bind(model.0)
}

#[async_trait]
impl ScoringSnapshot for SqliteSnapshot {
    async fn scores(
        &mut self,
        series: SeriesId,
        range: TimeRange,
        after: Option<ScorePlace>,
        limit: u32,
    ) -> Result<Vec<Score>, StoreError> {
        let query = page(SCORES, series, range, after).bind(limit);
        let rows = query.fetch_all(self.timeseries().await?).await?;
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
        // Written as JSON writes numbers.
        let models: Vec<i32> = models.iter().map(|model| model.0).collect();
        let query = page(FINDINGS, series, range, after).bind(format!("{models:?}"));
        let rows = query.bind(limit).fetch_all(self.timeseries().await?).await?;
        rows.iter().map(|row| score(series, row)).collect()
    }

    async fn taken(&mut self, shard: Shard, subject: &str) -> Result<Vec<Taken>, StoreError> {
        let rows =
            sqlx::query(TAKEN).bind(shard.number()).bind(subject).fetch_all(self.timeseries().await?).await?;
        rows.iter().map(taken).collect()
    }

    async fn model_names(&mut self) -> Result<Vec<ModelName>, StoreError> {
        let rows = sqlx::query(NAMES).fetch_all(self.timeseries().await?).await?;
        let name = |row: &SqliteRow| {
            let version = row.try_get(2)?;
            Ok(ModelName { id: ModelId(row.try_get(0)?), name: row.try_get(1)?, version })
        };
        rows.iter().map(name).collect()
    }
}

/// The outbox of a [`SqliteStore`].
#[derive(Debug)]
pub struct SqliteOutbox(Arc<SqliteStore>);

impl SqliteOutbox {
    /// The outbox of `store`.
    pub const fn new(store: Arc<SqliteStore>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl Outbox for SqliteOutbox {
    async fn waiting(&self, limit: u32) -> Result<Vec<(i64, Vec<u8>)>, StoreError> {
        let query = sqlx::query_as(WAITING).bind(limit);
        Ok(query.fetch_all(&self.0.timeseries.reader).await?)
    }

    async fn arrived(&self, numbers: &[i64]) -> Result<(), StoreError> {
        for (which, piece) in cut(numbers) {
            let mut query = sqlx::query(AssertSqlSafe(ARRIVED[which].as_str()));
            for number in piece {
                query = query.bind(number);
            }
            query.execute(&self.0.timeseries.writer).await?;
        }
        Ok(())
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.0.wakes.outbox.subscribe()
    }
}

fn control(row: &SqliteRow) -> Result<Control, StoreError> {
    let (change, series) = (row.try_get::<&str, _>(1)?, row.try_get::<Option<i64>, _>(2)?);
    let change = Change::from_kept(change, series.map(SeriesId));
    Ok(Control { seq: row.try_get::<i64, _>(0)?.cast_unsigned(), model: model(row, 3)?, change })
}

fn taken(row: &SqliteRow) -> Result<Taken, StoreError> {
    let after_position = row.try_get::<i64, _>(11)?.cast_unsigned();
    Ok(Taken { after_position, control: control(row)? })
}

fn saved(row: &SqliteRow) -> Result<(DetectorKey, SavedState), StoreError> {
    let last = (Timestamp::from_micros(row.try_get(3)?), row.try_get::<i64, _>(4)?.cast_unsigned());
    let since = row.try_get::<i64, _>(2)?.cast_unsigned();
    let key = (SeriesId(row.try_get(0)?), ModelId(row.try_get(1)?));
    Ok((key, SavedState { since, last, state: row.try_get(5)? }))
}

fn score(series: SeriesId, row: &SqliteRow) -> Result<Score, StoreError> {
    let expected: (Option<f64>, Option<f64>, Option<f64>) =
        (row.try_get(4)?, row.try_get(5)?, row.try_get(6)?);
    Ok(Score {
        series,
        time: Timestamp::from_micros(row.try_get(0)?),
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
