//! The regular grid of a series: the means of its last steps.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// How many steps are remembered.
pub const MOST_CELLS: usize = 2_048;
/// The most steps of a season.
pub const MOST_SEASON: i64 = 1_024;

const SECOND: i64 = 1_000_000;
/// A grid whose season is not given does not become coarser once it remembers so long: two weeks and a day.
const LONGEST: i64 = 15 * 86_400 * SECOND;
/// Seasons that are likelier than others, in seconds.
const NATURAL: [i64; 3] = [3_600, 86_400, 604_800];
/// Steps that divide a day, in seconds.
const ROUND: [i64; 20] =
    [1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60, 120, 180, 300, 600, 900, 1_200, 1_800, 3_600];

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Grid {
    /// In microseconds.
    step: i64,
    /// In steps, where it is given.
    season: Option<u32>,
    /// Whether steps stay as long as they are.
    is_fixed: bool,
    /// The step that samples are taken into; before it was known, nothing.
    open: Option<Cell>,
    /// The means of the steps before, NaN where there was no sample.
    means: VecDeque<f64>,
    /// The squares of what samples differ from the mean of their step, added up, and how many there are less one a step.
    spread: (f64, f64),
}

/// Steps are counted from 1970.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Cell {
    index: i64,
    count: f64,
    mean: f64,
    squares: f64,
}

/// Steps that ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub cell: i64,
    pub mean: Option<f64>,
    /// How many after it had no sample.
    pub missing: u32,
    /// Whether steps are longer from now on.
    pub coarser: bool,
}

impl Ended {
    pub fn steps(self) -> u32 {
        self.missing.saturating_add(1)
    }
}

/// A step that divides a day, if one is within a tenth.
pub(super) fn rounded(step: i64) -> i64 {
    let near = ROUND.into_iter().map(|seconds| seconds * SECOND);
    near.min_by_key(|round| (round - step).abs())
        .filter(|round| (round - step).abs() <= step / 10)
        .unwrap_or(step)
}

impl Grid {
    /// A grid of about that step; all in microseconds. Steps of a season that is given are as many as fit best.
    pub fn new(step: i64, season: Option<i64>, is_fixed: bool) -> Self {
        let (step, season) = match season {
            None => (step, None),
            Some(season) => {
                let steps = ((season + step / 2) / step).min(MOST_SEASON);
                if steps < 2 { (step, Some(1)) } else { ((season / steps).max(1), u32::try_from(steps).ok()) }
            }
        };
        let is_fixed = is_fixed || season.is_some();
        Self { step, season, is_fixed, open: None, means: VecDeque::new(), spread: (0.0, 0.0) }
    }

    /// The season that is given, in steps.
    pub fn season(&self) -> Option<usize> {
        self.season.map(|season| season as usize)
    }

    /// An hour, a day or a week in steps where a season that was found is within a thirty-second of it.
    pub fn natural(&self, season: usize) -> usize {
        let steps = NATURAL.map(|seconds| usize::try_from(seconds * SECOND / self.step).unwrap_or_default());
        steps.into_iter().find(|steps| *steps > 1 && steps.abs_diff(season) <= season / 32).unwrap_or(season)
    }

    /// How many steps it remembers.
    pub fn cells(&self) -> usize {
        self.means.len()
    }

    /// The step of a time.
    pub fn cell(&self, time: i64) -> i64 {
        time.div_euclid(self.step)
    }

    /// The first step that did not end.
    pub fn next(&self) -> i64 {
        self.open.map_or(0, |open| open.index)
    }

    /// The means of the steps that it remembers, each with its number; NaN where there was no sample.
    pub fn means(&self) -> impl Iterator<Item = (i64, f64)> + '_ {
        let first = self.next().saturating_sub(i64::try_from(self.means.len()).unwrap_or_default());
        (first..).zip(self.means.iter().copied())
    }

    /// The means, and the one before where there was no sample.
    pub fn filled(&self) -> Vec<f64> {
        let first = self.means.iter().copied().find(|mean| !mean.is_nan()).unwrap_or_default();
        let fill = |last: &mut f64, mean: &f64| {
            *last = if mean.is_nan() { *last } else { *mean };
            Some(*last)
        };
        self.means.iter().scan(first, fill).collect()
    }

    /// The deviation of samples from the mean of their step.
    pub fn deviation(&self) -> f64 {
        if self.spread.1 > 0.0 { (self.spread.0 / self.spread.1).sqrt() } else { 0.0 }
    }

    pub fn owned_bytes(&self) -> usize {
        self.means.capacity() * size_of::<f64>()
    }

    /// Takes in the next sample: what ended before it, if something did. Steps may become longer, if the caller says so.
    pub fn take_in(&mut self, time: i64, value: f64, may_coarsen: bool) -> Option<Ended> {
        let index = self.cell(time);
        let Some(open) = &mut self.open else {
            self.open = Some(Cell::of(index, value));
            return None;
        };
        if index <= open.index {
            open.add(value);
            return None;
        }
        let ended = *open;
        let missing = u32::try_from(index.saturating_sub(ended.index) - 1).unwrap_or(u32::MAX);
        self.spread = (self.spread.0 + ended.squares, self.spread.1 + ended.count - 1.0);
        self.push(ended.mean);
        if missing as usize >= MOST_CELLS {
            self.means.clear();
        } else {
            (0..missing).for_each(|_| self.push(f64::NAN));
        }
        let coarser = may_coarsen && self.is_coarser_from(index);
        let index = if coarser { self.cell(time) } else { index };
        self.open = Some(Cell::of(index, value));
        Some(Ended {
            cell: ended.index,
            mean: Some(ended.mean).filter(|mean| mean.is_finite()),
            missing,
            coarser,
        })
    }

    fn push(&mut self, mean: f64) {
        if self.means.len() >= MOST_CELLS {
            self.means.pop_front();
        }
        if self.means.capacity() == self.means.len() {
            let more = (self.means.len() / 2).max(64).min(MOST_CELLS - self.means.len());
            self.means.reserve_exact(more);
        }
        self.means.push_back(mean);
    }

    /// Makes steps twice as long, if all are used and more must be remembered to find a season. The next one is even, so
    /// that no step is cut.
    fn is_coarser_from(&mut self, next: i64) -> bool {
        let remembers = self.step.saturating_mul(i64::try_from(MOST_CELLS).unwrap_or(i64::MAX));
        let may = !self.is_fixed && self.means.len() >= MOST_CELLS && remembers < LONGEST;
        if !may || next.rem_euclid(2) != 0 {
            return false;
        }
        let pairs: Vec<f64> =
            self.means.make_contiguous().chunks_exact(2).map(|pair| mean_of(pair[0], pair[1])).collect();
        let differences =
            self.means.make_contiguous().chunks_exact(2).map(|pair| (pair[0] - pair[1]).powi(2) / 2.0);
        let known: Vec<f64> = differences.filter(|square| square.is_finite()).collect();
        #[expect(clippy::cast_precision_loss, reason = "at most a thousand")]
        let more = known.len() as f64;
        self.spread = (self.spread.0 + known.iter().sum::<f64>(), self.spread.1 + more);
        self.step *= 2;
        self.means.clear();
        self.means.extend(pairs);
        true
    }
}

impl Cell {
    fn of(index: i64, value: f64) -> Self {
        Self { index, count: 1.0, mean: value, squares: 0.0 }
    }

    /// Welford 1962.
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let before = value - self.mean;
        self.mean += before / self.count;
        self.squares += before * (value - self.mean);
    }
}

fn mean_of(one: f64, other: f64) -> f64 {
    match (one.is_nan(), other.is_nan()) {
        (true, _) => other,
        (_, true) => one,
        _ => f64::midpoint(one, other),
    }
}
