//! What a detector says of the benchmark's series, and what that comes to.

use super::{Outcome, Profile, Scorer, Series};
use crate::detectors::{Model, Verdict};

/// What a detector said of a series, sample by sample.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    /// The scores; none where it had nothing to say.
    pub scores: Vec<Option<f64>>,
    /// Whether an anomaly began.
    pub findings: Vec<bool>,
}

impl Said {
    /// Nothing of any of so many samples.
    pub fn nothing(samples: usize) -> Self {
        Self { scores: vec![None; samples], findings: vec![false; samples] }
    }

    /// What a detector says that sees the series alone, with nothing around it. The seed is
    /// [`crate::detectors::seed`]'s where it is to say what the [`crate::Processor`] has it say.
    pub fn of(model: &dyn Model, seed: u64, series: &Series) -> Self {
        let mut detector = model.start(seed);
        let mut said = Self::default();
        for sample in &series.samples {
            let Verdict { score, finding, .. } = detector.observe(sample);
            said.scores.push(score);
            said.findings.push(finding.is_some());
        }
        said
    }

    /// The first sample of which something else was said, to the last bit.
    pub fn differs(&self, other: &Self) -> Option<usize> {
        let rows = |said: &Self| {
            let bits = said.scores.iter().map(|score| score.map(f64::to_bits));
            bits.zip(said.findings.iter().copied()).collect::<Vec<_>>()
        };
        let (one, other) = (rows(self), rows(other));
        let differs = one.iter().zip(&other).position(|(one, other)| one != other);
        differs.or_else(|| (one.len() != other.len()).then(|| one.len().min(other.len())))
    }

    /// Nothing said is a score of 0.
    fn scores(&self) -> Vec<f64> {
        self.scores.iter().map(|score| score.unwrap_or(0.0)).collect()
    }

    fn findings(&self) -> Vec<f64> {
        self.findings.iter().map(|found| if *found { 1.0 } else { 0.0 }).collect()
    }
}

/// How well a detector did, by the standard profile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judgement {
    /// With the threshold that is best for all series, as the benchmark has it.
    pub all: Outcome,
    /// With the threshold that is best for the half that parameters were chosen by, over that half.
    pub tuned: Outcome,
    /// With the same threshold, over the half that was kept out of it ([`Series::held_out`]).
    pub held_out: Outcome,
    /// What its anomalies come to, over all series: with the threshold that it has, whatever is best.
    pub findings: Outcome,
}

impl Judgement {
    /// Of what a detector said of series after series.
    pub fn of(series: &[Series], said: &[Said]) -> Self {
        let scorer = |column: fn(&Said) -> Vec<f64>, which: fn(&Series) -> bool| {
            let mut scorer = Scorer::new(Profile::STANDARD);
            for (series, said) in series.iter().zip(said).filter(|(series, _)| which(series)) {
                scorer.add(&series.windows, &column(said));
            }
            scorer
        };
        let tuned = scorer(Said::scores, |series| !series.held_out()).best();
        Self {
            all: scorer(Said::scores, |_| true).best(),
            tuned,
            held_out: scorer(Said::scores, Series::held_out).at(tuned.threshold),
            findings: scorer(Said::findings, |_| true).at(0.5),
        }
    }
}
