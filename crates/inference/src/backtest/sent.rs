//! What was sent of a series.
//!
//! It is read from the scores, and not from the log: they are there in the transaction that stores the sample, where an event of
//! the log comes a moment later, and they are kept as long as samples are. Whether a finding was sent follows from the mode that
//! the model had at that place.

use cornjacket_domain::Timestamp;
use cornjacket_store::{Change, Mode, ModelId, Score, ScoringSnapshot, SeriesId, Snapshot, Taken, TimeRange};

use super::NoMaterial;

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

/// What these models have sent of samples of a range, in the order of positions. None of them is one that a server runs: its
/// consumer does not note where it was switched.
pub(super) async fn read(
    snapshot: &mut dyn Snapshot,
    series: SeriesId,
    range: TimeRange,
    taken: &[Taken],
    models: &[ModelId],
    most: usize,
) -> Result<Vec<Sent>, NoMaterial> {
    let (mut sent, mut after): (Vec<Sent>, _) = (Vec::new(), None);
    while !models.is_empty() {
        let page = ScoringSnapshot::findings(snapshot, series, models, range, after, PAGE).await?;
        let of_active = page.iter().filter(|score| was_active(taken, score.model, score.position));
        sent.extend(of_active.filter_map(of));
        if sent.len() > most {
            return Err(NoMaterial::TooManySent(most));
        }
        after = page.last().map(Score::place);
        if page.len() < PAGE as usize {
            break;
        }
    }
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

#[cfg(test)]
mod tests;
