//! The parts in which a page is read.

/// A first part of so many takes no turn.
const FIRST: usize = 100;
/// Of other parts.
const AT_ONCE: usize = 1_000;

/// What a page has of the parts that were read for it.
#[derive(Debug)]
pub(super) struct Parts<T> {
    size: usize,
    found: Vec<T>,
    looked: usize,
    /// The position of the last one that was looked at.
    last: Option<u64>,
    /// Of the last part: those that were not looked at yet.
    unseen: usize,
    /// There was no more after it.
    is_last: bool,
}

impl<T> Parts<T> {
    /// Of a page that nothing was read for.
    pub fn new(size: u32) -> Self {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        Self { size, found: Vec::new(), looked: 0, last: None, unseen: 0, is_last: false }
    }

    /// How many to read next; nothing when the page is done, and when so many were looked at for it.
    pub fn next(&self, most: usize) -> Option<u32> {
        let left = self.size - self.found.len();
        if left == 0 || self.is_last || self.looked >= most {
            return None;
        }
        let limit = if self.looked == 0 {
            left.min(FIRST)
        } else {
            (left * self.looked).div_ceil(self.found.len().max(1)).max(left).min(AT_ONCE)
        };
        u32::try_from(limit.min(most - self.looked)).ok()
    }

    /// A part is there, of which so many were asked for.
    pub const fn begin(&mut self, limit: u32, count: usize) {
        self.unseen = count;
        self.is_last = count < limit as usize;
    }

    /// Looks at one of it, which may be wanted.
    pub fn look_at(&mut self, position: u64, wanted: Option<T>) {
        (self.looked, self.last, self.unseen) =
            (self.looked + 1, Some(position), self.unseen.saturating_sub(1));
        self.found.extend(wanted);
    }

    /// Whether the page has all that it can have.
    pub const fn is_full(&self) -> bool {
        self.found.len() >= self.size
    }

    /// How many were looked at.
    pub const fn looked(&self) -> usize {
        self.looked
    }

    /// Where the next part begins.
    pub const fn last(&self) -> Option<u64> {
        self.last
    }

    /// What was found, and the position of the last one that was looked at when there may be more.
    pub fn end(self) -> (Vec<T>, Option<u64>) {
        let is_more = !self.is_last || self.unseen > 0;
        (self.found, self.last.filter(|_| is_more))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A page over what is stored after a position: it, where it ends, and how many were read for it in how many parts.
    fn page(
        stored: &[bool],
        after: usize,
        size: u32,
        most: usize,
    ) -> (Vec<usize>, Option<usize>, usize, usize) {
        let (mut parts, mut read, mut count) = (Parts::new(size), 0, 0);
        while let Some(limit) = parts.next(most) {
            let from = parts.last().map_or(after, |last| usize::try_from(last).expect("small"));
            let part: Vec<_> = (from..stored.len()).take(limit as usize).collect();
            (read, count) = (read + part.len(), count + 1);
            parts.begin(limit, part.len());
            for at in part {
                if parts.is_full() {
                    break;
                }
                parts.look_at(at as u64 + 1, stored[at].then_some(at));
            }
        }
        let (found, last) = parts.end();
        (found, last.map(|last| usize::try_from(last).expect("small")), read, count)
    }

    #[test]
    fn a_page_reads_what_it_needs() {
        let all = vec![true; 5_000];
        assert_eq!(page(&all, 0, 10, 10_000).2, 10);
        assert_eq!((page(&all, 0, 1_000, 10_000).2, page(&all, 0, 1_000, 10_000).3), (1_000, 2));
        let tenth: Vec<_> = (0..5_000).map(|at| at % 10 == 0).collect();
        let (found, _, read, count) = page(&tenth, 0, 100, 10_000);
        assert!((found.len(), count) == (100, 2) && read <= 1_100, "{read} in {count} parts");
        let none = vec![false; 50_000];
        let (found, last, read, _) = page(&none, 0, 10, 10_000);
        assert_eq!((found.len(), last, read), (0, Some(10_000), 10_000), "it ends, and says where");
    }

    proptest! {
        #[test]
        fn pages_have_all_that_is_wanted_once_and_in_order(
            stored in prop::collection::vec(any::<bool>(), 0..3_000),
            size in 1..400_u32,
            most in 1..2_000_usize,
        ) {
            let wanted: Vec<_> = (0..stored.len()).filter(|at| stored[*at]).collect();
            let (mut all, mut after, mut pages) = (Vec::new(), 0, 0);
            loop {
                let (found, last, read, _) = page(&stored, after, size, most);
                prop_assert!(found.len() <= size as usize && read <= most);
                all.extend(found);
                pages += 1;
                let Some(last) = last else { break };
                prop_assert!(last > after, "it gets on");
                after = last;
            }
            prop_assert_eq!(all, wanted);
            prop_assert!(pages <= stored.len() + 1);
        }
    }
}
