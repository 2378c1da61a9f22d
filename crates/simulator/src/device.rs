//! A device: several metrics every ten seconds, now and then a fault, now and then away.

use std::time::Duration;

use cornjacket_domain::Timestamp;
use cornjacket_proto::events::attribute_value::Value;
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::system_event::Status;
use cornjacket_proto::events::{AttributeValue, Event, Measurement, SensorReading, SystemEvent};

use crate::actor::Happening;
use crate::envelope::event;
use crate::fault::{Fault, LABEL};
use crate::options::{Options, Share};
use crate::random::Random;
use crate::signal::{METRICS, Signal};

const PERIOD: Duration = Duration::from_secs(10);
/// How far from its period a reading comes, at most to either side.
const JITTER: Duration = Duration::from_millis(500);
/// How long a device is away.
const AWAY: [Duration; 2] = [Duration::from_mins(2), Duration::from_mins(30)];
/// Devices of one plant share a source.
const DEVICES_A_PLANT: u32 = 25;

/// A device.
#[derive(Debug)]
pub struct Device {
    name: String,
    source: String,
    random: Random,
    faults: Share,
    signals: [Signal; METRICS.len()],
    fault: Option<Fault>,
    /// When it is heard of next.
    at: Timestamp,
}

impl Device {
    /// Its first reading comes within its first period.
    pub fn new(number: u32, mut random: Random, options: &Options) -> Self {
        let signals = std::array::from_fn(|index| Signal::new(&METRICS[index], &mut random));
        let at = options.start + random.span(Duration::ZERO, PERIOD);
        Self {
            name: format!("device-{number:04}"),
            source: format!("simulator/plant-{}", number / DEVICES_A_PLANT + 1),
            random,
            faults: options.faults,
            signals,
            fault: None,
            at,
        }
    }

    /// A reading, or a farewell after which it is away for a while.
    pub fn next(&mut self) -> Happening {
        let at = self.at;
        let values: [f64; METRICS.len()] =
            std::array::from_fn(|index| self.signals[index].next(at, &mut self.random));
        self.fault = self.fault.filter(|fault| !fault.is_over(at));
        if self.fault.is_none() && self.random.happens(self.faults) {
            // One fault in four takes the whole device away.
            if *self.random.one_of(&[true, false, false, false]) {
                return self.farewell();
            }
            let metric = *self.random.one_of(&[0, 1, 2, 3]);
            let begun = Fault::begin(metric, &METRICS[metric], at, values[metric], &mut self.random);
            self.fault = Some(begun);
        }
        self.at = at + PERIOD - JITTER + self.random.span(Duration::ZERO, 2 * JITTER);
        Happening { at, event: self.reading(at, values) }
    }

    fn reading(&mut self, at: Timestamp, values: [f64; METRICS.len()]) -> Event {
        let shown = |(index, signal): (usize, &Signal)| {
            let fault = self.fault.filter(|fault| fault.metric == index);
            let value = fault.map_or(values[index], |fault| fault.distort(at, values[index]));
            let metric = signal.metric;
            Measurement { metric: metric.name.into(), value: metric.shown(value), unit: metric.unit.into() }
        };
        let measurements = self.signals.iter().enumerate().map(shown).collect();
        let payload = Payload::SensorReading(SensorReading { measurements });
        let mut event = event((&self.source, &self.name), "sensor.reading", at, payload, &mut self.random);
        if let Some(fault) = self.fault {
            let value = Some(Value::String(fault.name().into()));
            event.attributes.insert(LABEL.into(), AttributeValue { value });
        }
        event
    }

    fn farewell(&mut self) -> Happening {
        let at = self.at;
        self.at = at + self.random.span(AWAY[0], AWAY[1]);
        let payload = Payload::SystemEvent(SystemEvent {
            component: self.name.clone(),
            status: Status::Down.into(),
            message: (*self.random.one_of(&["battery empty", "no signal", "restarting"])).into(),
            details: None,
        });
        let names = (self.source.as_str(), self.name.as_str());
        Happening { at, event: event(names, "system.device_offline", at, payload, &mut self.random) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::tests::options;

    fn device(faults: Share) -> Device {
        Device::new(7, Random::new(1, 7), &Options { faults, ..options() })
    }

    fn label(event: &Event) -> Option<&str> {
        match event.attributes.get(LABEL)?.value.as_ref()? {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    #[test]
    fn a_sound_device_reads_every_metric_every_ten_seconds() {
        let mut device = device(Share::NONE);
        let mut before = device.next().at;
        for _ in 0..1_000 {
            let Happening { at, event } = device.next();
            let Some(Payload::SensorReading(reading)) = &event.payload else { panic!("{event:?}") };
            let metrics: Vec<_> = reading.measurements.iter().map(|one| one.metric.as_str()).collect();
            assert_eq!(metrics, METRICS.map(|metric| metric.name));
            let waited = at.as_micros() - before.as_micros();
            assert!((9_500_000..=10_500_000).contains(&waited), "{waited}");
            assert_eq!((event.subject.as_str(), label(&event)), ("device-0007", None));
            before = at;
        }
    }

    #[test]
    fn faults_of_every_kind_come_are_labelled_and_end() {
        let mut device = device(Share::new(0.005).expect("a share"));
        let mut seen = std::collections::BTreeMap::<String, u32>::new();
        for _ in 0..20_000 {
            let Happening { at, event } = device.next();
            let offline = event.r#type == "system.device_offline";
            let what = if offline { "offline" } else { label(&event).unwrap_or("sound") };
            *seen.entry(what.to_owned()).or_default() += 1;
            if offline {
                assert!(device.at >= at + AWAY[0], "it is away");
            }
        }
        for what in ["offline", "stuck", "spike", "drift", "sound"] {
            assert!(seen.get(what).is_some_and(|count| *count > 5), "{what}: {seen:?}");
        }
    }
}
