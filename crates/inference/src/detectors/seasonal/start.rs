//! Where exponential smoothing starts: level, slope and season of a history, whatever outliers and gaps there are in it.

/// How long a block of a history without a season is.
const BLOCK: usize = 8;
/// How often level and season are told from each other: once more than needed where nothing is missing.
const ROUNDS: usize = 2;
/// By how many usual differences two seasons differ where one of them is an outlier.
const DIFFERENT: f64 = 8.0;
/// An interval starts at most so much wider than normal errors of the same median would have it.
const HEAVIEST: f64 = 2.0;
/// Half of what is normal is within so many deviations.
const MEDIAN: f64 = 0.674_49;

/// The state before the first step of a history.
#[derive(Clone, Debug)]
pub(super) struct Start {
    pub level: f64,
    /// A step.
    pub trend: f64,
    /// By the step's number modulo its length.
    pub season: Vec<f64>,
    /// The half-width of the interval.
    pub width: f64,
}

impl Start {
    /// The line through the medians of whole seasons, and for each step of the season the median of what differs from it.
    #[expect(clippy::cast_precision_loss, reason = "at most two thousand steps")]
    pub fn of(means: &[(i64, f64)], season: usize, level: f64, deviations: f64) -> Option<Self> {
        let length = season.max(BLOCK);
        let middle = (length as f64 - 1.0) / 2.0;
        let blocks: Vec<&[(i64, f64)]> = means.rchunks_exact(length).rev().collect();
        let (mut pattern, mut slope, mut first) = (vec![0.0; season], 0.0, 0.0);
        let mut by_phase = Vec::new();
        for _ in 0..ROUNDS {
            let centres: Vec<(usize, f64)> = blocks
                .iter()
                .enumerate()
                .filter_map(|(index, block)| Some((index, centre(block, &pattern, slope, middle)?)))
                .collect();
            let ((since, start), (until, end)) = (*centres.first()?, *centres.last()?);
            slope = (end - start) / ((until - since).max(1) * length) as f64;
            first = start - slope * (since * length) as f64;
            by_phase = vec![Vec::new(); season];
            for (index, centre) in centres {
                for (offset, (cell, mean)) in known(blocks[index]) {
                    by_phase[phase(cell, season)].push(mean - centre - slope * (offset - middle));
                }
            }
            if season > 1 {
                pattern = pattern_of(&mut by_phase);
            }
        }
        let off = by_phase
            .iter()
            .zip(&pattern)
            .flat_map(|(values, shape)| values.iter().map(move |value| value - shape));
        let mut errors: Vec<f64> = off.map(f64::abs).collect();
        let width = quantile(&mut errors, level, deviations)?;
        let before = (means.len() % length) as f64 + middle + 1.0;
        Some(Self { level: first - slope * before, trend: slope, season: pattern, width })
    }
}

/// The steps of a block that have a mean, each with its place in it.
fn known(block: &[(i64, f64)]) -> impl Iterator<Item = (f64, (i64, f64))> + '_ {
    let places = (0_u32..).map(f64::from);
    places.zip(block.iter().copied()).filter(|(_, (_, mean))| !mean.is_nan())
}

/// The level in the middle of a block.
fn centre(block: &[(i64, f64)], pattern: &[f64], slope: f64, middle: f64) -> Option<f64> {
    let level =
        |(offset, (cell, mean))| mean - pattern[phase(cell, pattern.len())] - slope * (offset - middle);
    median(&mut known(block).map(level).collect::<Vec<f64>>())
}

/// The median of each step of a season. Of two that differ far more than others do, one is an outlier: the one that is further
/// from the step before.
fn pattern_of(by_phase: &mut [Vec<f64>]) -> Vec<f64> {
    let difference = |values: &[f64]| (values.len() == 2).then(|| (values[0] - values[1]).abs());
    let mut differences: Vec<f64> = by_phase.iter().filter_map(|values| difference(values)).collect();
    let most = median(&mut differences).unwrap_or(f64::INFINITY) * DIFFERENT;
    let mut last = 0.0_f64;
    let shape = |values: &mut Vec<f64>| {
        last = if difference(values).is_some_and(|difference| difference > most) {
            let nearer = (values[0] - last).abs() <= (values[1] - last).abs();
            if nearer { values[0] } else { values[1] }
        } else {
            median(values).unwrap_or(last)
        };
        last
    };
    by_phase.iter_mut().map(shape).collect()
}

/// The number of a step within its season.
pub(super) fn phase(cell: i64, season: usize) -> usize {
    let season = i64::try_from(season).unwrap_or(1).max(1);
    usize::try_from(cell.rem_euclid(season)).unwrap_or_default()
}

fn median(values: &mut [f64]) -> Option<f64> {
    let middle = values.len() / 2;
    if values.is_empty() {
        return None;
    }
    values.sort_unstable_by(f64::total_cmp);
    let upper = values[middle];
    Some(if values.len().is_multiple_of(2) { f64::midpoint(values[middle - 1], upper) } else { upper })
}

/// What a share of all errors does not exceed: of n the ⌈(n + 1)·level⌉-th smallest, as conformal prediction has it, but for
/// what only a few outliers would have so large. A normal error is within `deviations` with that probability.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rank among two thousand"
)]
pub(super) fn quantile(errors: &mut [f64], level: f64, deviations: f64) -> Option<f64> {
    let rank = ((errors.len() as f64 + 1.0) * level).ceil() as usize;
    let rank = rank.min(errors.len()).checked_sub(1)?;
    errors.sort_unstable_by(f64::total_cmp);
    let normal = errors[errors.len() / 2] / MEDIAN * deviations;
    Some(if normal > 0.0 { errors[rank].min(normal * HEAVIEST) } else { errors[rank] })
}
