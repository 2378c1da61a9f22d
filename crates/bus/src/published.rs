//! What a publisher has put where: kept beside the relay's checkpoint, so that whoever comes next can tell whether the
//! bus still has it, and what came before the next event of a partition.

use std::collections::BTreeMap;

use cornjacket_domain::Topic;
use serde::{Deserialize, Serialize};

use crate::TopicPartition;

/// The last record that was put into a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The event's position in the log.
    pub position: u64,
    /// The record's offset on the bus.
    pub offset: u64,
}

/// The last record of every partition, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    since: u64,
    last: BTreeMap<TopicPartition, Mark>,
}

/// The text in which it is kept.
#[derive(Deserialize, Serialize)]
struct Text {
    since: u64,
    /// Topic, partition, position and offset.
    last: Vec<(String, u16, u64, u64)>,
}

impl Published {
    /// Nothing is known of what was put on the bus up to `position`; what follows will be.
    pub const fn since(position: u64) -> Self {
        Self { since: position, last: BTreeMap::new() }
    }

    /// Between this position and the next event of the partition that is put on the bus, the log has no event of it.
    pub fn previous(&self, at: TopicPartition) -> u64 {
        self.last.get(&at).map_or(self.since, |mark| mark.position)
    }

    /// The last records.
    pub fn marks(&self) -> impl Iterator<Item = (TopicPartition, Mark)> {
        self.last.iter().map(|(at, mark)| (*at, *mark))
    }

    /// Notes a record. False when its offset is not above that of the record before it: the bus has begun anew in between.
    pub fn put(&mut self, at: TopicPartition, mark: Mark) -> bool {
        self.last.insert(at, mark).is_none_or(|before| before.offset < mark.offset)
    }

    /// To be kept with a checkpoint.
    pub fn to_text(&self) -> String {
        let last = self
            .last
            .iter()
            .map(|(at, mark)| (at.topic.name().to_owned(), at.partition, mark.position, mark.offset));
        let text = Text { since: self.since, last: last.collect() };
        serde_json::to_string(&text).expect("numbers and names are JSON")
    }

    /// As it was kept with the checkpoint at `position`. What cannot be read says nothing.
    pub fn from_text(text: &str, position: u64) -> Self {
        let Ok(text) = serde_json::from_str::<Text>(text) else { return Self::since(position) };
        let last = text.last.into_iter().filter_map(|(topic, partition, position, offset)| {
            let topic = Topic::from_name(&topic)?;
            Some((TopicPartition { topic, partition }, Mark { position, offset }))
        });
        Self { since: text.since, last: last.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: TopicPartition = TopicPartition { topic: Topic::SensorEvents, partition: 3 };

    #[test]
    fn it_is_the_same_after_it_was_kept() {
        let mut published = Published::since(7);
        assert!(published.put(AT, Mark { position: 9, offset: 4 }));
        assert_eq!(Published::from_text(&published.to_text(), 50), published);
        assert_eq!(Published::from_text("", 50), Published::since(50));
    }

    #[test]
    fn what_came_before_is_the_last_record_or_where_knowledge_begins() {
        let mut published = Published::since(7);
        assert_eq!(published.previous(AT), 7);
        published.put(AT, Mark { position: 9, offset: 4 });
        assert_eq!(published.previous(AT), 9);
    }

    #[test]
    fn offsets_that_do_not_grow_are_of_another_topic() {
        let mut published = Published::default();
        assert!(published.put(AT, Mark { position: 9, offset: 4 }));
        assert!(published.put(AT, Mark { position: 10, offset: 6 }));
        assert!(!published.put(AT, Mark { position: 11, offset: 0 }));
    }
}
