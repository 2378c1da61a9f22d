//! One forest: what krcf makes of the values of one feature.

use rcflib::rcf::{AugmentedRCF, RCFBuilder, RCFOptionsBuilder, RCFSmall};
use serde::{Deserialize, Serialize};

use super::Parameters;

/// A random cut forest over numbers (Guha, Mishra, Roy and Schrijvers: Robust Random Cut Forest Based Anomaly Detection on
/// Streams, 2016): each tree holds a sample of what was seen, by preference of late, and cuts it at random.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Forest(RCFSmall<u64, u64>);

impl Forest {
    /// Values beyond it are taken for it, so that no difference of two is infinite in single precision.
    pub const LARGEST: f64 = 1e30;

    pub fn new(parameters: &Parameters, seed: u64) -> Self {
        let mut builder = RCFBuilder::new(1, 1);
        builder
            .number_of_trees(parameters.trees as usize)
            .tree_capacity(parameters.samples as usize)
            .time_decay(parameters.decay)
            .random_seed(seed)
            .parallel_enabled(false)
            .bounding_box_cache_fraction(1.0);
        Self(builder.build_small().expect("these options are in the ranges that parameters are held to"))
    }

    /// How many ordinary values' worth a value stands apart from those before it, which it then joins: about 1 where it is one
    /// of them, at most the binary logarithm of the sample's size and one.
    ///
    /// None of a value that the forest cannot take, after which it is not to be used any more.
    pub fn take(&mut self, value: f64) -> Option<f64> {
        #[allow(clippy::cast_possible_truncation, reason = "krcf computes in single precision")]
        let point = [value.clamp(-Self::LARGEST, Self::LARGEST) as f32];
        let score = self.0.score(&point).ok()?;
        self.0.update(&point, 0).ok()?;
        score.is_finite().then_some(score)
    }

    /// How many values it has taken.
    pub fn seen(&self) -> u64 {
        self.0.entries_seen()
    }

    /// At most so many bytes: what krcf counts, and its tables of values that are equal as if as many were as can be.
    pub fn bytes(&self, parameters: &Parameters) -> usize {
        const ENTRY: usize = 17;
        let buckets = (parameters.samples as usize / 2 * 8 / 7).next_power_of_two();
        self.0.size() + parameters.trees as usize * buckets * ENTRY
    }
}
