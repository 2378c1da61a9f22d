//! Where an event goes on the bus.

use std::fmt;

/// A topic of the bus. The first part of an event's type chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// `sensor.*`
    SensorEvents,
    /// `user.*`
    UserActions,
    /// `ai.*`
    AiInsights,
    /// Everything else.
    SystemEvents,
}

impl Topic {
    /// Every topic, in the order of [`Topic::index`].
    pub const ALL: [Self; 4] = [Self::SensorEvents, Self::UserActions, Self::AiInsights, Self::SystemEvents];

    /// The topic of an event type.
    pub fn of_type(event_type: &str) -> Self {
        match event_type.split_once('.') {
            Some(("sensor", _)) => Self::SensorEvents,
            Some(("user", _)) => Self::UserActions,
            Some(("ai", _)) => Self::AiInsights,
            _ => Self::SystemEvents,
        }
    }

    /// The name on the bus.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SensorEvents => "sensor-events",
            Self::UserActions => "user-actions",
            Self::AiInsights => "ai-insights",
            Self::SystemEvents => "system-events",
        }
    }

    /// The topic of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.name() == name)
    }

    /// A number that never changes, for stored tokens.
    pub const fn index(self) -> u32 {
        match self {
            Self::SensorEvents => 0,
            Self::UserActions => 1,
            Self::AiInsights => 2,
            Self::SystemEvents => 3,
        }
    }

    /// The topic of that number.
    pub fn from_index(index: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.index() == index)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The number of partitions of every topic: fixed when a log is first used, since it decides where a subject goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partitions(std::num::NonZeroU16);

impl Partitions {
    /// One partition: total order within a topic.
    pub const ONE: Self = Self(std::num::NonZeroU16::MIN);

    /// `count` partitions; `None` when it is zero.
    pub fn new(count: u16) -> Option<Self> {
        std::num::NonZeroU16::new(count).map(Self)
    }

    /// How many.
    pub const fn count(self) -> u16 {
        self.0.get()
    }

    /// Where the events of that type about that subject are, in order.
    pub fn place(self, event_type: &str, subject: &str) -> (Topic, u16) {
        (Topic::of_type(event_type), self.of_subject(subject))
    }

    /// The partition of a subject, as Kafka's Java client chooses it for that key.
    pub fn of_subject(self, subject: &str) -> u16 {
        let hash = murmur2(subject.as_bytes()) & 0x7fff_ffff;
        u16::try_from(hash % u32::from(self.count())).expect("less than a u16's count")
    }
}

/// `MurmurHash2` with the seed of Kafka's Java client (`org.apache.kafka.common.utils.Utils#murmur2`).
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut hash = SEED ^ length;
    let mut words = data.chunks_exact(4);
    for word in words.by_ref() {
        let word = u32::from_le_bytes(word.try_into().expect("four bytes")).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ (word ^ (word >> 24)).wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (shift, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * shift);
        }
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_part_of_the_type_chooses_the_topic() {
        for (event_type, topic) in [
            ("sensor.reading", Topic::SensorEvents),
            ("user.login", Topic::UserActions),
            ("ai.anomaly_detected", Topic::AiInsights),
            ("system.heartbeat", Topic::SystemEvents),
            ("sensor", Topic::SystemEvents),
            ("sensors.reading", Topic::SystemEvents),
            ("com.example.order", Topic::SystemEvents),
        ] {
            assert_eq!(Topic::of_type(event_type), topic, "{event_type}");
        }
    }

    #[test]
    fn names_and_numbers_lead_back() {
        for topic in Topic::ALL {
            assert_eq!(Topic::from_name(topic.name()), Some(topic));
            assert_eq!(Topic::from_index(topic.index()), Some(topic));
        }
    }

    // The vectors of Kafka's own UtilsTest#testMurmur2.
    #[test]
    fn murmur2_is_that_of_kafkas_java_client() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }
}
