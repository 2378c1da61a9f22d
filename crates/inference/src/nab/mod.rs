//! The Numenta Anomaly Benchmark: how well detectors find what people labelled.
//!
//! Lavin and Ahmad: Evaluating Real-Time Anomaly Detection Algorithms, 2015 (arXiv 1510.03336). Each anomaly has a window.
//! The first detection in a window counts, the more the earlier; one outside counts against the detector, the less the closer
//! behind a window it is; a window without one counts as missed. The first part of each series is for learning and is not
//! scored. One threshold serves all series. The benchmark's code, which the paper describes, settles the details.

mod corpus;
mod said;

pub use corpus::{CorpusError, Series, read};
pub use said::{Judgement, Said};

/// What an outcome counts: the paper's cost matrix, where nothing is to be had for what is rightly not detected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    /// For a window that was found at once.
    pub found: f64,
    /// Against a detection far from any window.
    pub false_alarm: f64,
    /// Against a window that was missed.
    pub missed: f64,
}

impl Profile {
    /// The standard profile.
    pub const STANDARD: Self = Self { found: 1.0, false_alarm: 0.11, missed: 1.0 };
}

/// How well a detector did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// The sum over all series.
    pub raw: f64,
    /// 0 for detecting nothing, 100 for finding each window at once and nothing else.
    pub normalised: f64,
    /// From which score on samples count as detections.
    pub threshold: f64,
    /// How many windows there are.
    pub windows: usize,
    /// How many of them were found.
    pub found: usize,
    /// How many detections lie outside of windows.
    pub false_alarms: usize,
}

/// A sample that is scored.
#[derive(Clone, Copy, Debug)]
struct Row {
    score: f64,
    /// The window that it is in.
    window: Option<usize>,
    /// What a detection there is worth.
    worth: f64,
}

/// Takes in the scores of series after series.
#[derive(Clone, Debug)]
pub struct Scorer {
    profile: Profile,
    rows: Vec<Row>,
    windows: usize,
}

impl Scorer {
    /// A scorer that has seen no series.
    pub const fn new(profile: Profile) -> Self {
        Self { profile, rows: Vec::new(), windows: 0 }
    }

    /// Takes in the scores of a series, one for each of its samples. A window is its first and its last sample; they are in
    /// order and have nothing in common.
    pub fn add(&mut self, windows: &[(usize, usize)], scores: &[f64]) {
        let learning = learning(scores.len());
        let mut ahead = windows.iter().enumerate().peekable();
        let mut behind = None;
        for (index, &score) in scores.iter().enumerate() {
            if let Some((_, &window)) = ahead.next_if(|(_, (_, last))| index > *last) {
                behind = Some(window);
            }
            let inside = ahead.peek().filter(|(_, (first, _))| index >= *first);
            let (window, worth) = match (inside, behind) {
                (Some(&(window, &range)), _) => {
                    (Some(self.windows + window), self.profile.found * earliness(range, index))
                }
                (None, behind) => (None, self.profile.false_alarm * harmlessness(behind, index)),
            };
            if index >= learning {
                self.rows.push(Row { score, window, worth });
            }
        }
        self.windows += windows.len();
    }

    /// The outcome at the threshold that serves best.
    pub fn best(&self) -> Outcome {
        self.outcomes(f64::NEG_INFINITY)
            .into_iter()
            .fold(self.nothing(), |best, outcome| if outcome.raw > best.raw { outcome } else { best })
    }

    /// The outcome at a threshold.
    pub fn at(&self, threshold: f64) -> Outcome {
        let outcome = self.outcomes(threshold).pop().unwrap_or_else(|| self.nothing());
        Outcome { threshold, ..outcome }
    }

    /// What comes of detecting nothing.
    fn nothing(&self) -> Outcome {
        let mut outcome = Outcome {
            raw: 0.0,
            normalised: 0.0,
            threshold: f64::INFINITY,
            windows: self.windows,
            found: 0,
            false_alarms: 0,
        };
        outcome.raw = -self.profile.missed * count(self.windows);
        outcome
    }

    /// The outcome at each score from the highest down to the threshold.
    fn outcomes(&self, threshold: f64) -> Vec<Outcome> {
        let mut rows: Vec<Row> = self.rows.iter().copied().filter(|row| row.score >= threshold).collect();
        rows.sort_by(|one, other| other.score.total_cmp(&one.score));
        let mut outcome = self.nothing();
        let mut found: Vec<Option<f64>> = vec![None; self.windows];
        let mut outcomes = Vec::new();
        for same in rows.chunk_by(|one, other| one.score.total_cmp(&other.score).is_eq()) {
            for row in same {
                match row.window {
                    None => {
                        outcome.raw += row.worth;
                        outcome.false_alarms += 1;
                    }
                    Some(window) => {
                        let before = found[window].unwrap_or(-self.profile.missed);
                        outcome.found += usize::from(found[window].is_none());
                        outcome.raw += (row.worth - before).max(0.0);
                        found[window] = Some(row.worth.max(before));
                    }
                }
                outcome.threshold = row.score;
            }
            outcomes.push(self.normalised(outcome));
        }
        outcomes
    }

    fn normalised(&self, outcome: Outcome) -> Outcome {
        let nothing = self.nothing().raw;
        let perfect = self.profile.found * count(self.windows);
        Outcome { normalised: 100.0 * (outcome.raw - nothing) / (perfect - nothing), ..outcome }
    }
}

/// How many samples at the beginning are not scored: 15 %, at most 750.
fn learning(samples: usize) -> usize {
    (samples * 15 / 100).min(750)
}

/// What a detection is worth by its place relative to the end of a window, in windows: nearly 1 at -1, 0 at 0, down to -1.
fn scaled_sigmoid(place: f64) -> f64 {
    if place > 3.0 { -1.0 } else { 2.0 / (1.0 + libm::exp(5.0 * place)) - 1.0 }
}

/// What a detection in a window is worth: 1 at its first sample.
fn earliness((first, last): (usize, usize), index: usize) -> f64 {
    let place = -count(last - index + 1) / count(last - first + 1);
    scaled_sigmoid(place) / scaled_sigmoid(-1.0)
}

/// What a detection outside of windows is worth, by the window that it is behind of: -1 if it is far from it or there is none.
fn harmlessness(behind: Option<(usize, usize)>, index: usize) -> f64 {
    behind.map_or(-1.0, |(first, last)| scaled_sigmoid(count(index - last) / count(last - first)))
}

#[allow(clippy::cast_precision_loss, reason = "series have fewer samples than 2^52")]
fn count(samples: usize) -> f64 {
    samples as f64
}

#[cfg(test)]
mod tests;
