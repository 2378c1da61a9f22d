//! When a limit will be crossed, by a forecast.

use super::{Forecast, Step};

/// A limit, in the series' unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// What is above it crosses it.
    Upper(f64),
    /// What is below it crosses it.
    Lower(f64),
}

/// Whether, and when, a forecast crosses a limit. Steps are counted from 0, the first after the history.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Breach {
    /// The step by which the limit is crossed with a probability of a tenth: nothing need be done before.
    pub earliest: Option<usize>,
    /// The step by which it is crossed as likely as not.
    pub expected: Option<usize>,
    /// The probability that it is crossed within the horizon.
    pub probability: f64,
}

/// When a limit will be crossed for the first time. The probability of a step is interpolated between the bounds of its
/// intervals; beyond the outermost, where a tail of `p` is left at a distance from the point, it falls to `p²` at twice that
/// distance. Steps count as independent of each other, which errs on the early side.
pub fn breach(forecast: &Forecast, limit: Limit) -> Breach {
    let mut safe = 1.0;
    let mut breach = Breach { earliest: None, expected: None, probability: 0.0 };
    for (index, step) in forecast.steps.iter().enumerate() {
        safe *= 1.0 - beyond(step, limit);
        breach.probability = 1.0 - safe;
        if breach.probability >= 0.1 {
            breach.earliest = breach.earliest.or(Some(index));
        }
        if breach.probability >= 0.5 {
            breach.expected = breach.expected.or(Some(index));
        }
    }
    breach
}

/// The probability that the value of a step is beyond a limit.
fn beyond(step: &Step, limit: Limit) -> f64 {
    // How far the limit is from the point, and how far the bounds are on that side.
    let (distance, is_inside) = match limit {
        Limit::Upper(limit) => (limit - step.value, limit >= step.value),
        Limit::Lower(limit) => (step.value - limit, limit <= step.value),
    };
    // A point inside an upper limit has the limit above it; one outside has it below: there the lower bounds count.
    let towards_upper = matches!(limit, Limit::Upper(_)) == is_inside;
    let bounds = step.intervals.iter().map(|interval| {
        let width = if towards_upper { interval.upper - step.value } else { step.value - interval.lower };
        (width, (1.0 - interval.level) / 2.0)
    });
    let tail = tail(distance.abs(), bounds);
    if is_inside { tail } else { 1.0 - tail }
}

/// The probability of what is further than `distance` from the point on one side, given distances with what is left beyond
/// each, ascending.
fn tail(distance: f64, bounds: impl Iterator<Item = (f64, f64)>) -> f64 {
    let (mut near, mut left) = (0.0, 0.5);
    for (far, beyond) in bounds {
        if distance < far {
            let part = (distance - near) / (far - near);
            return left + (beyond - left) * part;
        }
        (near, left) = (far, beyond);
    }
    if near > 0.0 {
        return libm::pow(left, distance / near);
    }
    if distance > 0.0 { 0.0 } else { left }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Interval, Record};
    use super::*;

    fn step(value: f64) -> Step {
        let interval =
            |(level, width): (f64, f64)| Interval { level, lower: value - width, upper: value + width };
        Step { value, intervals: [(0.5, 1.0), (0.9, 2.0)].into_iter().map(interval).collect() }
    }

    fn forecast(values: &[f64]) -> Forecast {
        let record = Record { origins: 9, mae: 1.0, relative_mae: None, mase: None };
        let steps = values.iter().copied().map(step).collect();
        Forecast { forecaster: "x", version: "1", steps, record }
    }

    #[test]
    fn probabilities_are_interpolated_between_the_bounds() {
        for (limit, probability) in
            [(10.0, 0.5), (11.0, 0.25), (11.5, 0.15), (12.0, 0.05), (14.0, 0.0025), (9.0, 0.75), (8.0, 0.95)]
        {
            let above = breach(&forecast(&[10.0]), Limit::Upper(limit)).probability;
            assert!((above - probability).abs() < 1e-9, "{limit}: {above}");
            let below = breach(&forecast(&[10.0]), Limit::Lower(20.0 - limit)).probability;
            assert!((below - probability).abs() < 1e-9, "{limit}: {below}");
        }
    }

    #[test]
    fn it_is_earliest_before_it_is_expected() {
        let rising = breach(&forecast(&[5.0, 7.0, 9.0, 10.0, 11.0, 12.0]), Limit::Upper(10.5));
        assert_eq!((rising.earliest, rising.expected), (Some(2), Some(4)));
        let never = breach(&forecast(&[0.0; 5]), Limit::Upper(50.0));
        assert_eq!((never.earliest, never.expected), (None, None));
        assert!(never.probability < 1e-9);
    }

    proptest! {
        #[test]
        fn a_further_limit_is_less_likely_crossed(values in prop::collection::vec(-9.0..9.0_f64, 1..9), one in -20.0..20.0_f64, by in 0.0..9.0_f64) {
            let near = breach(&forecast(&values), Limit::Upper(one)).probability;
            let far = breach(&forecast(&values), Limit::Upper(one + by)).probability;
            prop_assert!(far <= near + 1e-12 && (0.0..=1.0).contains(&near));
        }
    }
}
