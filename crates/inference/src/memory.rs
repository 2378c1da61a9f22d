//! What is remembered of the series of a shard, within bounds.

use std::collections::{BTreeMap, HashMap};

use cornjacket_store::SeriesId;

use crate::watched::Watched;
use crate::watching::Watching;

/// The memory of a shard, whose transactions come one after the other.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// The last transaction that left this memory. Somebody whose turn is not the next one must not rely on it.
    pub turn: Option<u64>,
    /// What is watched.
    pub watching: Watching,
    /// The last change that `watching` has taken.
    pub controls: u64,
    series: HashMap<SeriesId, Remembered>,
    /// By when they were last touched.
    order: BTreeMap<u64, SeriesId>,
    touches: u64,
    bytes: usize,
    /// Those that are handed out, and how much memory they took then.
    lent: HashMap<SeriesId, usize>,
}

#[derive(Debug)]
struct Remembered {
    watched: Watched,
    touched: u64,
    bytes: usize,
}

impl Memory {
    /// Forgets everything.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// Forgets the series, which nothing watches any more.
    pub fn forget_series(&mut self) {
        (self.series, self.order, self.lent, self.bytes) = Default::default();
    }

    /// Hands out a series, to be given back by [`Self::keep`]. Until then it takes memory all the same.
    pub fn take(&mut self, series: SeriesId) -> Option<Watched> {
        let Remembered { watched, bytes, .. } = self.remove(series)?;
        self.lent.insert(series, bytes);
        self.bytes += bytes;
        Some(watched)
    }

    fn remove(&mut self, series: SeriesId) -> Option<Remembered> {
        let remembered = self.series.remove(&series)?;
        self.order.remove(&remembered.touched);
        self.bytes -= remembered.bytes;
        Some(remembered)
    }

    /// Remembers a series, as the one that was touched last.
    pub fn keep(&mut self, series: SeriesId, watched: Watched) {
        self.touches += 1;
        let (touched, bytes) = (self.touches, watched.bytes());
        self.order.insert(touched, series);
        self.bytes += bytes;
        self.bytes -= self.lent.remove(&series).unwrap_or_default();
        self.series.insert(series, Remembered { watched, touched, bytes });
    }

    /// Lets go of the series that was touched longest ago, when there is more than `limit`. Those that are handed out stay.
    pub fn let_go(&mut self, limit: usize) -> Option<(SeriesId, Watched)> {
        if self.bytes <= limit {
            return None;
        }
        let (_, series) = self.order.first_key_value()?;
        let series = *series;
        Some((series, self.remove(series)?.watched))
    }

    /// About how much memory it takes, with what is handed out.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_touched_longest_ago_goes_first() {
        let mut shard = Memory::default();
        for id in 1..=3 {
            shard.keep(SeriesId(id), Watched::default());
        }
        let touched = shard.take(SeriesId(1)).expect("it is there");
        shard.keep(SeriesId(1), touched);
        let each = Watched::default().bytes();
        assert_eq!(shard.bytes(), 3 * each);
        let gone: Vec<_> = std::iter::from_fn(|| shard.let_go(each)).map(|(series, _)| series).collect();
        assert_eq!(gone, [SeriesId(2), SeriesId(3)]);
        assert!(shard.take(SeriesId(2)).is_none());
        assert_eq!(shard.bytes(), each);
    }
    #[test]
    fn what_is_handed_out_takes_memory_and_is_not_let_go() {
        let mut shard = Memory::default();
        for id in 1..=3 {
            shard.keep(SeriesId(id), Watched::default());
        }
        let each = Watched::default().bytes();
        let lent = [1, 2].map(|id| shard.take(SeriesId(id)).expect("it is there"));
        assert_eq!(shard.bytes(), 3 * each);
        assert_eq!(shard.let_go(2 * each).map(|(series, _)| series), Some(SeriesId(3)));
        assert!(shard.let_go(0).is_none(), "the others are handed out");
        for (id, watched) in (1..).zip(lent) {
            shard.keep(SeriesId(id), watched);
        }
        assert_eq!(shard.bytes(), 2 * each);
        shard.forget_series();
        assert_eq!(shard.bytes(), 0);
    }
}
