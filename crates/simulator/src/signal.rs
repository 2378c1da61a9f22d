//! What a device measures when nothing is wrong with it: a level of its own, the time of day, and noise that remembers.

use std::f64::consts::TAU;
use std::ops::RangeInclusive;

use cornjacket_domain::Timestamp;

use crate::random::Random;

const HOURS_A_DAY: f64 = 24.0;

/// A metric, and how it behaves.
#[derive(Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Its unit, in UCUM.
    pub unit: &'static str,
    /// What it is about.
    level: f64,
    /// How far devices are from each other (standard deviation).
    spread: f64,
    /// How far it goes up and down in a day.
    pub swing: f64,
    /// The hour (UTC) at which it is highest.
    peak: f64,
    /// How much of the noise of one reading is in the next: the coefficient of an AR(1).
    memory: f64,
    /// The noise (standard deviation).
    pub noise: f64,
    /// What it can be at all.
    range: RangeInclusive<f64>,
    /// The steps in a unit that the sensor tells apart.
    steps: f64,
}

/// What every device measures.
pub const METRICS: [Metric; 4] = [
    Metric {
        name: "temperature",
        unit: "Cel",
        level: 20.0,
        spread: 2.0,
        swing: 5.0,
        peak: 15.0,
        memory: 0.95,
        noise: 0.3,
        range: -40.0..=125.0,
        steps: 100.0,
    },
    Metric {
        name: "humidity",
        unit: "%",
        level: 55.0,
        spread: 5.0,
        swing: 12.0,
        peak: 4.0,
        memory: 0.95,
        noise: 1.0,
        range: 0.0..=100.0,
        steps: 10.0,
    },
    Metric {
        name: "pressure",
        unit: "hPa",
        level: 1_013.0,
        spread: 1.0,
        swing: 0.8,
        peak: 10.0,
        memory: 0.999,
        noise: 4.0,
        range: 300.0..=1_100.0,
        steps: 10.0,
    },
    Metric {
        name: "vibration",
        unit: "mm/s",
        level: 2.5,
        spread: 0.3,
        swing: 0.9,
        peak: 13.0,
        memory: 0.6,
        noise: 0.15,
        range: 0.0..=50.0,
        steps: 1_000.0,
    },
];

impl Metric {
    /// What the time of day adds.
    pub fn season(&self, at: Timestamp) -> f64 {
        self.swing * daily(at, self.peak)
    }

    /// As the sensor shows it.
    pub fn shown(&self, value: f64) -> f64 {
        (value.clamp(*self.range.start(), *self.range.end()) * self.steps).round() / self.steps
    }
}

/// 1 at the hour `peak` (UTC), -1 twelve hours later, and in between as a cosine goes.
pub fn daily(at: Timestamp, peak: f64) -> f64 {
    let today = std::time::Duration::from_micros(
        (at.as_micros() - Timestamp::from_day(at.day()).as_micros()).unsigned_abs(),
    );
    libm::cos(TAU * (today.as_secs_f64() / 3_600.0 - peak) / HOURS_A_DAY)
}

/// A metric of one device.
#[derive(Clone, Debug)]
pub struct Signal {
    /// Which.
    pub metric: &'static Metric,
    level: f64,
    noise: f64,
}

impl Signal {
    /// The device's own level, and the noise as if it had always been there.
    pub fn new(metric: &'static Metric, random: &mut Random) -> Self {
        let level = metric.level + metric.spread * random.normal();
        Self { metric, level, noise: metric.noise * random.normal() }
    }

    /// The true value at the next reading.
    pub fn next(&mut self, at: Timestamp, random: &mut Random) -> f64 {
        let Metric { memory, noise, .. } = self.metric;
        // The new part is as large as keeps the whole from growing or fading.
        self.noise = memory * self.noise + noise * (1.0 - memory * memory).sqrt() * random.normal();
        self.level + self.metric.season(at) + self.noise
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn hour(hour: u64) -> Timestamp {
        Timestamp::from_day(20_000) + Duration::from_hours(hour)
    }

    #[test]
    fn a_day_has_its_highest_and_lowest_hour_and_is_like_the_next() {
        let temperature = &METRICS[0];
        assert!((temperature.season(hour(15)) - 5.0).abs() < 1e-9);
        assert!((temperature.season(hour(3)) + 5.0).abs() < 1e-9);
        assert!(temperature.season(hour(9)).abs() < 1e-9);
        assert!((temperature.season(hour(7)) - temperature.season(hour(7 + 24))).abs() < 1e-9);
        assert!((daily(Timestamp::from_day(-1), 0.0) - 1.0).abs() < 1e-9, "before 1970 too");
    }

    #[test]
    fn noise_remembers_and_stays_as_large_as_it_is() {
        let mut random = Random::new(1, 0);
        let mut signal = Signal::new(&METRICS[0], &mut random);
        let noises: Vec<f64> = (0..50_000)
            .map(|_| {
                signal.next(hour(0), &mut random);
                signal.noise
            })
            .collect();
        let square = |pairs: usize| {
            let products = noises.iter().zip(&noises[pairs..]).map(|(one, other)| one * other);
            products.sum::<f64>() / 50_000.0
        };
        assert!((square(0).sqrt() - 0.3).abs() < 0.02, "{}", square(0).sqrt());
        assert!((square(1) / square(0) - 0.95).abs() < 0.01, "{}", square(1) / square(0));
    }

    #[test]
    fn a_sensor_shows_what_it_can() {
        let humidity = &METRICS[1];
        assert_eq!(humidity.shown(104.2).to_bits(), 100.0_f64.to_bits());
        assert_eq!(humidity.shown(51.26).to_bits(), 51.3_f64.to_bits());
    }
}
