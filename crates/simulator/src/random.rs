//! Numbers that follow from a seed, the same for ever and on every machine.

use std::f64::consts::TAU;
use std::time::Duration;

use cornjacket_domain::Timestamp;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::options::Share;

/// One stream of numbers. Streams of one seed know nothing of each other.
#[derive(Clone, Debug)]
pub struct Random(ChaCha8Rng);

impl Random {
    /// The stream of that number. The seed is the key as it stands: no library has a say in what it means.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut generator = ChaCha8Rng::from_seed(key);
        generator.set_stream(stream);
        Self(generator)
    }

    /// Evenly from 0 to 1, without 1.
    pub fn unit(&mut self) -> f64 {
        /// The bits of 1.0: with any mantissa, a number from 1 to 2.
        const ONE: u64 = 0x3ff0_0000_0000_0000;
        f64::from_bits(ONE | (self.0.next_u64() >> 12)) - 1.0
    }

    /// Evenly from `low` to `high`.
    pub fn within(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// True in that share of cases.
    pub fn happens(&mut self, share: Share) -> bool {
        self.unit() < share.get()
    }

    /// Any of the items, with even odds.
    pub fn one_of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        let drawn = (u128::from(self.0.next_u64()) * items.len() as u128) >> 64;
        &items[usize::try_from(drawn).expect("less than a length")]
    }

    /// From the standard normal distribution (Box and Muller, 1958).
    pub fn normal(&mut self) -> f64 {
        let (radius, angle) = (1.0 - self.unit(), self.unit());
        (-2.0 * libm::log(radius)).sqrt() * libm::cos(TAU * angle)
    }

    /// How long until something that comes every `mean` on average, and at any time.
    pub fn wait(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(-libm::log(1.0 - self.unit()))
    }

    /// Evenly between two spans of time.
    pub fn span(&mut self, shortest: Duration, longest: Duration) -> Duration {
        shortest + longest.saturating_sub(shortest).mul_f64(self.unit())
    }

    /// A `UUIDv7` (RFC 9562) of that time, as text.
    pub fn id(&mut self, at: Timestamp) -> String {
        let mut random = [0; 10];
        self.0.fill_bytes(&mut random);
        let millis = u64::try_from(at.as_micros() / 1_000).unwrap_or_default();
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(numbers: impl Iterator<Item = f64>) -> f64 {
        numbers.take(10_000).sum::<f64>() / 10_000.0
    }

    #[test]
    fn a_seed_and_a_stream_mean_the_same_for_ever() {
        let first = |seed, stream| Random::new(seed, stream).0.next_u64();
        assert_eq!(first(1, 0), 7_037_237_572_835_827_407);
        assert_ne!(first(1, 0), first(1, 1));
        assert_ne!(first(1, 0), first(2, 0));
    }

    #[test]
    fn numbers_are_spread_as_they_say() {
        let mut random = Random::new(1, 0);
        assert!((mean(std::iter::repeat_with(|| random.unit())) - 0.5).abs() < 0.01);
        assert!(mean(std::iter::repeat_with(|| random.normal())).abs() < 0.03);
        let square = mean(std::iter::repeat_with(|| random.normal().powi(2)));
        assert!((square - 1.0).abs() < 0.05, "{square}");
        let wait = mean(std::iter::repeat_with(|| random.wait(Duration::from_mins(1)).as_secs_f64()));
        assert!((wait - 60.0).abs() < 2.0, "{wait}");
    }

    #[test]
    fn an_id_is_dated() {
        let at = Timestamp::from_micros(1_700_000_000_123_456);
        let id: uuid::Uuid = Random::new(1, 0).id(at).parse().expect("a UUID");
        let dated = id.get_timestamp().expect("it is of version 7").to_unix();
        assert_eq!((id.get_version_num(), dated), (7, (1_700_000_000, 123_000_000)));
    }
}
