//! What was sent is what was found while the model was active, all of it or nothing.

use std::sync::Arc;
use std::time::Duration;

use cornjacket_domain::{Partitions, SeriesKey, SystemClock};
use cornjacket_store::{Control, Draft, Model, Options, Store};

use super::*;

/// More than fit into a page, by two models.
const SAMPLES: u64 = 7_000;

fn switched(after_position: u64, seq: u64, id: i32, mode: Mode) -> Taken {
    let draft = Draft {
        name: format!("m{id}"),
        detector: "threshold".into(),
        code: "1".into(),
        subjects: "*".into(),
        metrics: "*".into(),
        parameters: "{}".into(),
    };
    let model = Model { id: ModelId(id), version: 1, draft };
    Taken { after_position, control: Control { seq, model, change: Change::Mode(mode) } }
}

#[tokio::test]
async fn what_was_sent_is_read_of_the_models_that_are_asked_for_and_is_bounded() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite://{}", folder.path().join("cornjacket.db").display());
    let store = Store::open(&Options::new(url, Partitions::ONE), Arc::new(SystemClock)).await?;
    let mut tx = store.offsets.begin_apart().await?;
    let key = SeriesKey { subject: "pump".into(), metric: "level".into() };
    let series = tx.series(&[(&key, "m")]).await?[0];
    let time = |position| Timestamp::from_day(20_000) + Duration::from_millis(position);
    let found = |position, model| Score {
        series,
        time: time(position),
        position,
        model: ModelId(model),
        score: Some(1.0),
        expected: None,
        severity: Some(2),
        unscored: None,
    };
    let all: Vec<Score> =
        (1..=SAMPLES).flat_map(|position| [1, 2, 3].map(|model| found(position, model))).collect();
    tx.add_scores(&all).await?;
    tx.commit().await?;
    let taken = [
        switched(0, 1, 1, Mode::Active),
        switched(0, 2, 2, Mode::Active),
        switched(0, 3, 3, Mode::Active),
        switched(100, 4, 2, Mode::Shadow),
        switched(6_900, 5, 2, Mode::Active),
    ];
    let range = TimeRange { start: time(0), end: Timestamp::LAST };
    let read = async |models: &[i32], most| {
        let models: Vec<ModelId> = models.iter().copied().map(ModelId).collect();
        let mut snapshot = store.snapshots.begin(Duration::from_secs(10)).await?;
        super::read(snapshot.as_mut(), series, range, &taken, &models, most).await
    };
    let expected: Vec<(u64, i32)> = (1..=SAMPLES)
        .flat_map(|position| [(position, 1), (position, 2)])
        .filter(|(position, model)| *model == 1 || *position <= 100 || *position > 6_900)
        .collect();
    let sent = read(&[2, 1], expected.len()).await?;
    assert!(sent.iter().map(|sent| (sent.position, sent.model.0)).eq(expected.iter().copied()));
    assert!(matches!(read(&[2, 1], expected.len() - 1).await, Err(NoMaterial::TooManySent(7_199))));
    assert!(read(&[], 0).await?.is_empty());
    Ok(())
}
