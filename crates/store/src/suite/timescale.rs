//! Series where the database has TimescaleDB: the same statements on hypertables, compressed and dropped by chunk.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cornjacket_domain::{RollupStep, Sample, SeriesKey, Summary, Timestamp};
use cornjacket_testkit::Timescale;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use super::fixtures::noon;
use crate::postgres::MIGRATIONS;
use crate::postgres::offsets::PostgresTx;
use crate::postgres::retention::age_chunks;
use crate::postgres::snapshot::PostgresSnapshot;
use crate::wakes::Wake;
use crate::{RollupKey, SeriesFilter, SeriesId, SeriesSnapshot, SeriesTx, TimeRange};

const DAY: Duration = Duration::from_hours(24);
const CHUNKS: &str = "select count(*), count(*) filter (where is_compressed)
    from timescaledb_information.chunks where hypertable_name = $1";

async fn chunks(pool: &PgPool, table: &str) -> anyhow::Result<(i64, i64)> {
    Ok(sqlx::query_as(CHUNKS).bind(table).fetch_one(pool).await?)
}

async fn add(pool: &PgPool, key: &SeriesKey, sample: Sample) -> anyhow::Result<SeriesId> {
    let mut tx = PostgresTx(pool.begin().await?, Wake::new(&Arc::default()), 0);
    let id = tx.series(&[(key, "Cel")]).await?[0];
    let bucket = |step: RollupStep| RollupKey { series: id, step, bucket: step.bucket_of(sample.time) };
    let keys = RollupStep::ALL.map(bucket);
    let known: HashMap<_, Summary> = tx.load_rollups(&keys).await?;
    let with = |key: &RollupKey| known.get(key).map_or(Summary::of(sample), |known| known.with(sample));
    tx.add_samples(&[(id, sample)]).await?;
    tx.save_rollups(&keys.map(|key| (key, with(&key)))).await?;
    tx.0.commit().await?;
    Ok(id)
}

#[tokio::test(flavor = "multi_thread")]
async fn late_samples_find_their_way_into_compressed_days_and_old_days_leave() -> anyhow::Result<()> {
    let server = Timescale::start().await?;
    let pool = PgPoolOptions::new().max_connections(1).connect(&server.url()).await?;
    MIGRATIONS.run(&pool).await?;
    let key = SeriesKey { subject: "pump".into(), metric: "x".into() };
    let sample = |days: u32, position, value| Sample { time: noon() - DAY * days, position, value };
    let samples: Vec<_> = (0..4).map(|days| sample(days, 10 - u64::from(days), 1.0)).collect();
    let mut id = SeriesId(0);
    for sample in &samples {
        id = add(&pool, &key, *sample).await?;
    }
    assert_eq!(chunks(&pool, "samples").await?, (4, 0), "a chunk for each day");

    age_chunks(&pool, noon() - DAY * 2, noon() - DAY).await?;
    assert_eq!(chunks(&pool, "samples").await?, (3, 1), "one dropped, one compressed");
    assert_eq!(chunks(&pool, "rollups").await?, (3, 0));
    let late = sample(2, 11, 5.0);
    add(&pool, &key, late).await?;

    let always = TimeRange { start: Timestamp::from_micros(0), end: noon() + DAY };
    let mut now = PostgresSnapshot(pool.begin().await?);
    assert_eq!(now.samples(id, always, None, 10).await?, [samples[2], late, samples[1], samples[0]]);
    let hours = now.rollups(id, RollupStep::Hour, always).await?;
    assert_eq!(hours[0].1, Summary::of(samples[2]).with(late));
    let filter = SeriesFilter { subject: None, since: noon(), after: None, limit: 10 };
    assert_eq!(now.list_series(&filter).await?[0].last, samples[0]);
    drop(now);
    age_chunks(&pool, noon(), noon()).await?;
    assert_eq!(chunks(&pool, "samples").await?, (1, 0), "compressed days are dropped like others");
    Ok(())
}
