//! What detectors and fits cost: `cargo test -p cornjacket-inference --lib speed -- --ignored --nocapture`, with
//! `--config profile.dev.package.cornjacket-inference.opt-level=3` for figures that mean something.

use std::time::{Duration, Instant};

use cornjacket_domain::Sample;
use serde_json::{Value, json};

use super::laws::{Dice, eventful, watch};
use super::seasonal::Seasonal;
use super::{KINDS, Kind};
use crate::forecasters::{Asked, FORECASTERS, Forecaster, choose, ets::Ets};

#[test]
#[ignore = "prints figures"]
fn of_detectors() {
    let mut dice = Dice(1);
    let noise = watch((0..200_000_u32).map(|second| (f64::from(second), dice.normal())));
    let given = json!({ "season_seconds": 86_400, "step_seconds": 300 });
    for kind in KINDS {
        let name = kind.name();
        report(&format!("{name}, a day in five minutes"), *kind, &kind.example(), &eventful(1, 200_000));
        report(&format!("{name}, noise every second"), *kind, &kind.example(), &noise);
    }
    report("seasonal, a day that is given", &Seasonal, &given, &eventful(1, 200_000));
}

fn report(what: &str, kind: &dyn Kind, parameters: &Value, samples: &[Sample]) {
    let mut detector = kind.configure(parameters).expect("parameters").start(1);
    let started = Instant::now();
    let mut longest = Duration::ZERO;
    for sample in samples {
        let started = Instant::now();
        detector.observe(sample);
        longest = longest.max(started.elapsed());
    }
    let micros = started.elapsed().as_secs_f64() * 1e6 / 200_000.0;
    let (bytes, saved) = (detector.bytes(), detector.save().len());
    println!("{what}: {micros:.3} µs a sample, at most {longest:?}, {bytes} bytes, {saved} saved");
}

#[test]
#[ignore = "prints figures"]
fn of_fits() {
    for (count, season) in [(168_u16, 24), (864, 288), (2_016, 288)] {
        let series: Vec<f64> = (0..count)
            .zip(eventful(2, count.into()))
            .map(|(step, sample)| f64::from(step % season) + sample.value)
            .collect();
        let season = usize::from(season);
        let started = Instant::now();
        Ets.points(&series, season, 24).expect("points");
        let fit = started.elapsed();
        let started = Instant::now();
        crate::forecasters::season::find(&series);
        let find = started.elapsed();
        let started = Instant::now();
        let forecast = choose(&series, season, Asked { horizon: 24, levels: &[0.9] });
        println!(
            "{count} steps: MSTL and ETS {fit:?}, season {find:?}, choice of {} {:?} {}",
            FORECASTERS.len(),
            started.elapsed(),
            forecast.map_or_else(|error| error.to_string(), |forecast| forecast.forecaster.to_owned()),
        );
    }
}
