//! `SensorReading`: measurements of one instant.

use std::collections::BTreeSet;

use cornjacket_proto::events::SensorReading;

use crate::clean::{Checker, Segment};
use crate::series::{COUNTS, METRIC_LENGTH};
use crate::violation::Reason;

pub(super) fn check(event_type: &str, reading: &mut SensorReading, checker: &mut Checker) {
    // A series lives in one topic, so that one consumer alone writes its samples.
    if !event_type.starts_with("sensor.") {
        checker.fail_here(Reason::Mismatch, "a sensor reading needs a type under `sensor.`");
    }
    if reading.measurements.is_empty() {
        checker.fail("measurements", Reason::Required, "at least one measurement is needed");
    }
    let mut seen = BTreeSet::new();
    checker.within(Segment::Field("measurements"), |checker| {
        for (index, measurement) in reading.measurements.iter_mut().enumerate() {
            checker.within(Segment::Index(index), |checker| {
                checker.text("metric", &mut measurement.metric, &(1..=METRIC_LENGTH));
                if measurement.metric.starts_with(COUNTS) {
                    let taken = "names under `events.` are those of counts of events";
                    checker.fail("metric", Reason::Reserved, taken);
                }
                checker.text("unit", &mut measurement.unit, &(0..=64));
                checker.finite("value", measurement.value);
                if !seen.insert(measurement.metric.as_str()) {
                    checker.fail("metric", Reason::Repeated, "each metric may appear once");
                }
            });
        }
    });
}
