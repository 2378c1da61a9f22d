//! Where series are thought about: everything that comes to one of them, in order.

use crate::series::SeriesKey;
use crate::topic::{Partitions, Topic};

/// A partition of a topic, as the place of the series whose samples its events bring. What is kept by shard is kept by
/// [`Shard::number`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shard {
    topic: Topic,
    partition: u16,
    number: u32,
}

impl Shard {
    /// The shard of a series: measurements come on one topic, and what counts events comes with those events.
    pub fn of(series: &SeriesKey, partitions: Partitions) -> Self {
        let topic = series.counts().map_or(Topic::SensorEvents, Topic::of_type);
        Self::at(topic, partitions.of_subject(&series.subject), partitions)
    }

    /// The shard of a partition.
    pub fn at(topic: Topic, partition: u16, partitions: Partitions) -> Self {
        let number = topic.index() * u32::from(partitions.count()) + u32::from(partition);
        Self { topic, partition, number }
    }

    /// The topic whose events bring its samples.
    pub const fn topic(self) -> Topic {
        self.topic
    }

    /// The partition of that topic.
    pub const fn partition(self) -> u16 {
        self.partition
    }

    /// A number that no other shard has, and that never changes: partition by partition, topic after topic in the order of
    /// [`Topic::index`], measurements first.
    pub const fn number(self) -> u32 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn partitions(count: u16) -> Partitions {
        Partitions::new(count).expect("above zero")
    }

    #[test]
    fn what_devices_measure_keeps_its_numbers() {
        let series = SeriesKey { subject: "pump-7".into(), metric: "temperature".into() };
        let shard = Shard::of(&series, partitions(12));
        assert_eq!((shard.topic(), shard.partition()), (Topic::SensorEvents, shard.partition()));
        assert_eq!(shard.number(), u32::from(partitions(12).of_subject("pump-7")));
    }

    #[test]
    fn what_counts_events_is_where_those_events_are() {
        for event_type in ["security.login_failed", "user.action", "sensor.alarm"] {
            let shard = Shard::of(&SeriesKey::counting("pump-7", event_type), partitions(12));
            assert_eq!((shard.topic(), shard.partition()), partitions(12).place(event_type, "pump-7"));
        }
    }

    #[test]
    fn no_two_shards_have_one_number() {
        for count in [1, 3, u16::MAX] {
            let every = Topic::ALL.into_iter().flat_map(|topic| (0..count).map(move |at| (topic, at)));
            let numbers: BTreeSet<u32> =
                every.map(|(topic, at)| Shard::at(topic, at, partitions(count)).number()).collect();
            assert_eq!(numbers.len(), 4 * usize::from(count));
            assert_eq!(numbers.last(), Some(&(4 * u32::from(count) - 1)));
        }
    }
}
