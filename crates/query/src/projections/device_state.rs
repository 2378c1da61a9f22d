//! `device_state`: the latest value of every metric of a device, and whether it is online.

use std::collections::BTreeMap;

use cornjacket_proto::events::event::Payload;
use cornjacket_store::ProjectionId;
use serde::{Deserialize, Serialize};

use super::{Before, Happening, Mark, Moment, Origin, Parameters, Projection, TypePattern};

const OFFLINE: &str = "system.device_offline";

/// The state of a device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DeviceState {
    /// The latest value of each metric.
    metrics: BTreeMap<String, Metric>,
    /// Whether the last that was heard was not a farewell.
    online: bool,
    /// When it was last heard of.
    last_heard: Mark,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Metric {
    value: f64,
    unit: String,
    #[serde(flatten)]
    mark: Mark,
}

impl Projection for DeviceState {
    const ID: ProjectionId = ProjectionId { name: "device_state", version: 1 };
    const TYPES: &'static [TypePattern] = &[TypePattern::Under("sensor."), TypePattern::Exactly(OFFLINE)];

    fn fold(&mut self, happening: &Happening<'_>, _: &Parameters) {
        let mark = happening.mark();
        if mark > self.last_heard {
            self.last_heard = mark;
            self.online = happening.event.r#type != OFFLINE;
        }
        let Some(Payload::SensorReading(reading)) = &happening.event.payload else { return };
        for measurement in &reading.measurements {
            let known = self.metrics.get(&measurement.metric);
            if known.is_none_or(|known| mark > known.mark) {
                let metric = Metric { value: measurement.value, unit: measurement.unit.clone(), mark };
                self.metrics.insert(measurement.metric.clone(), metric);
            }
        }
    }

    /// Every value knows the event that set it.
    fn before(mut self, log: &Origin) -> Before<Self> {
        self.metrics.retain(|_, metric| metric.mark.position < log.position);
        if self.last_heard.position >= log.position {
            // Whoever measured something was heard then.
            let Some(last) = self.metrics.values().map(|metric| metric.mark).max() else {
                return Before::Nothing;
            };
            (self.last_heard, self.online) = (last, true);
        }
        Before::Part(self)
    }

    /// A value that was not measured again leaves by its own time.
    fn seen_at(mut self, moment: &Moment) -> Option<Self> {
        self.metrics.retain(|_, metric| metric.mark.time >= moment.oldest);
        (self.last_heard.time >= moment.oldest).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use cornjacket_domain::Timestamp;
    use cornjacket_proto::events::{Event, Measurement, SensorReading};
    use proptest::prelude::*;

    use super::*;

    fn reading(position: u64, metric: &str, value: f64) -> Event {
        let measurement = Measurement { metric: metric.into(), value, unit: "Cel".into() };
        Event {
            position,
            r#type: "sensor.reading".into(),
            payload: Some(Payload::SensorReading(SensorReading { measurements: vec![measurement] })),
            ..Event::default()
        }
    }

    fn offline(position: u64) -> Event {
        Event { position, r#type: OFFLINE.into(), ..Event::default() }
    }

    fn fold(events: &[(Event, i64)]) -> DeviceState {
        let mut state = DeviceState::default();
        for (event, micros) in events {
            state.fold(&Happening { event, time: Timestamp::from_micros(*micros) }, &Parameters::default());
        }
        state
    }

    #[test]
    fn the_json_is_the_documented_one() {
        let state = fold(&[(reading(17, "temperature", 21.5), 1_700_000_000_000_000)]);
        let json = serde_json::to_value(&state).expect("plain data");
        assert_eq!(
            json["metrics"],
            serde_json::json!({"temperature":
                {"value": 21.5, "unit": "Cel", "time": "2023-11-14T22:13:20Z", "position": "17"}})
        );
        assert_eq!(json["online"], true);
        assert_eq!(serde_json::from_value::<DeviceState>(json).expect("our own JSON"), state);
    }

    #[test]
    fn a_late_reading_does_not_overwrite_a_newer_one() {
        let newer = (reading(1, "t", 1.0), 1_000);
        let late = (reading(2, "t", 2.0), 500);
        let other = (reading(3, "p", 3.0), 500);
        let state = fold(&[newer, late, other]);
        assert!((state.metrics["t"].value - 1.0).abs() < f64::EPSILON);
        assert!((state.metrics["p"].value - 3.0).abs() < f64::EPSILON);
    }

    #[test]
    fn of_two_readings_at_one_time_the_later_position_wins() {
        let state = fold(&[(reading(1, "t", 1.0), 1_000), (reading(2, "t", 2.0), 1_000)]);
        assert!((state.metrics["t"].value - 2.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_device_is_offline_from_its_farewell_to_its_next_reading() {
        let farewell = [(reading(1, "t", 1.0), 1_000), (offline(2), 2_000)];
        assert!(!fold(&farewell).online);
        let late = [farewell[0].clone(), farewell[1].clone(), (reading(3, "t", 1.0), 1_500)];
        assert!(!fold(&late).online, "sent before the farewell");
        let back = [farewell[0].clone(), farewell[1].clone(), (reading(3, "t", 1.0), 3_000)];
        assert!(fold(&back).online);
    }

    #[test]
    fn values_leave_one_by_one_and_the_device_with_the_last() {
        let state = fold(&[(reading(1, "old", 1.0), 1_000), (reading(2, "new", 2.0), 2_000)]);
        let at = |oldest| {
            let (now, oldest) = (Timestamp::from_micros(9_000), Timestamp::from_micros(oldest));
            state.clone().seen_at(&Moment { now, oldest, parameters: Parameters::default() })
        };
        assert_eq!(at(1_000), Some(state.clone()));
        let later = at(1_001).expect("one is left");
        assert_eq!(later.metrics.keys().collect::<Vec<_>>(), ["new"]);
        assert_eq!(at(2_001), None);
    }

    proptest! {
        #[test]
        fn two_topics_may_come_in_any_order(
            times in proptest::collection::vec((0i32..50, any::<bool>()), 1..40), seed in any::<u64>(),
        ) {
            let events: Vec<_> = (1..).zip(times).map(|(position, (micros, is_reading))| {
                let event = if is_reading {
                    reading(position, ["t", "p"][usize::try_from(micros % 2).expect("0 or 1")], f64::from(micros))
                } else {
                    offline(position)
                };
                (event, i64::from(micros))
            }).collect();
            let in_order = fold(&events);
            let mut shuffled = events;
            let mut random = seed;
            for last in (1..shuffled.len()).rev() {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                shuffled.swap(last, usize::try_from(random >> 33).expect("31 bits") % (last + 1));
            }
            prop_assert_eq!(fold(&shuffled), in_order);
        }
    }
}
