//! What was sent of a series.
//!
//! It is read from the scores, and not from the log: they are there in the transaction that stores the sample, where an event of
//! the log comes a moment later, and they are kept as long as samples are. Whether a finding was sent follows from the mode that
//! the model had at that place.

use cornjacket_domain::Timestamp;
use cornjacket_store::{
    Change, Mode, ModelId, Score, ScoringSnapshot, SeriesId, Snapshot, StoreError, Taken, TimeRange,
};

/// Scores that are read at once.
const PAGE: u32 = 10_000;

/// An anomaly that was sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sent {
    /// When the sample was taken with which it begins.
    pub time: Timestamp,
    /// The position of the event that the sample came with.
    pub position: u64,
    /// Who found it.
    pub model: ModelId,
    /// How strange the sample was.
    pub score: Option<f64>,
    /// As `AnomalyDetected.Severity` numbers it.
    pub severity: i16,
}

/// What these models have sent of samples of a range, in the order of positions.
pub(super) async fn read(
    snapshot: &mut dyn Snapshot,
    series: SeriesId,
    range: TimeRange,
    taken: &[Taken],
    models: &[ModelId],
) -> Result<Vec<Sent>, StoreError> {
    if models.is_empty() {
        return Ok(Vec::new());
    }
    let found = findings(snapshot, series, range).await?;
    let mut sent: Vec<Sent> = found
        .iter()
        .filter(|score| models.contains(&score.model) && was_active(taken, score.model, score.position))
        .filter_map(of)
        .collect();
    sent.sort_unstable_by_key(|sent| (sent.position, sent.model));
    Ok(sent)
}

fn of(score: &Score) -> Option<Sent> {
    let Score { time, position, model, score, severity, .. } = score;
    Some(Sent { time: *time, position: *position, model: *model, score: *score, severity: (*severity)? })
}

/// Whether a model was active when its shard had the sample of a position.
fn was_active(taken: &[Taken], model: ModelId, position: u64) -> bool {
    let of_model =
        taken.iter().rev().filter(|one| one.control.model.id == model && one.after_position < position);
    let last = of_model.map(|one| one.control.change).find_map(|change| match change {
        Change::Mode(mode) => Some(mode),
        Change::FalseAlarm(_) | Change::Missed(_) => None,
    });
    last == Some(Mode::Active)
}

async fn findings(
    snapshot: &mut dyn Snapshot,
    series: SeriesId,
    range: TimeRange,
) -> Result<Vec<Score>, StoreError> {
    let (mut found, mut after): (Vec<Score>, _) = (Vec::new(), None);
    loop {
        let mut page = ScoringSnapshot::findings(snapshot, series, range, after, PAGE).await?;
        let is_last = page.len() < PAGE as usize;
        // Several models may have found the last sample, and the page may have cut some of them off.
        if let Some(last) = page.last().filter(|_| !is_last).map(|last| (last.time, last.position)) {
            page.retain(|score| (score.time, score.position) < last);
        }
        after = page.last().map(|last| (last.time, last.position));
        found.extend(page);
        if is_last || after.is_none() {
            return Ok(found);
        }
    }
}
