//! `GetForecast`: what a series will be.
//!
//! A forecast takes a processor for up to a second, so that few are made at once, and whoever waits longer than its deadline is
//! told so. It waits for its token before its turn, and for its turn without a snapshot. What is known of the series is read in
//! one; the fit comes after it, on a thread that may block.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use cornjacket_domain::{Caller, SeriesKey, Timestamp};
use cornjacket_proto::query::{GetForecastRequest, GetForecastResponse};
use cornjacket_proto::status::{ErrorKind, Failure};
use cornjacket_store::{SeriesId, Snapshot, StoreError};
use tokio::time::Instant;
use tonic::Request;

use super::consistency::snapshot_with;
use super::query_series::{key_to_proto, maker};
use super::there::find_series;
use super::{QueryRpc, authorize_series, invalid, store_failed};

/// For which probabilities there are intervals where nobody says.
const USUAL_LEVELS: [f64; 2] = [0.5, 0.9];
const MOST_LEVELS: usize = 10;

/// What is asked of a forecast.
#[derive(Clone, Debug, PartialEq)]
pub struct ForecastQuestion {
    /// About which series.
    pub series: SeriesId,
    /// Which that is by name.
    pub key: SeriesKey,
    /// What is older is not looked at.
    pub oldest: Timestamp,
    /// How far to look ahead.
    pub horizon: Duration,
    /// How long a step is, where that was said.
    pub step: Option<Duration>,
    /// For which probabilities there shall be intervals: above 0 and below 1, ascending.
    pub levels: Vec<f64>,
}

/// Why there is no forecast.
#[derive(Debug)]
pub enum NoForecast {
    /// A field of the question, and what is wrong with it.
    Field(&'static str, String),
    /// There is no sample.
    Empty,
    /// There are too few steps of history.
    TooShort(Steps),
    /// The values of the series allow none, and why.
    Unfit(String),
    /// The store did not answer.
    Store(StoreError),
}

/// What there is of a history, and what a forecast needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// How many there are that are over.
    pub have: usize,
    /// How many are needed.
    pub need: usize,
    /// The longest horizon for which there are enough; 0 when there is none.
    pub enough_for: usize,
    /// How long one is.
    pub step: Duration,
}

/// A forecast that has what it needs: what is left of it is arithmetic.
pub type Fit = Box<dyn FnOnce() -> Result<GetForecastResponse, NoForecast> + Send>;

/// What forecasts are made with, in the crate that this one does not see.
#[async_trait]
pub trait Forecasts: Debug + Send + Sync {
    /// Reads what a forecast needs. The response that the fit has says nothing of the series' name and unit.
    async fn prepare(
        &self,
        snapshot: &mut dyn Snapshot,
        question: ForecastQuestion,
    ) -> Result<Fit, NoForecast>;
}

pub(super) async fn get_forecast(
    rpc: &QueryRpc,
    deadline: Instant,
    request: Request<GetForecastRequest>,
) -> Result<GetForecastResponse, Failure> {
    let caller = Caller::of(request.extensions())?;
    let request = request.into_inner();
    authorize_series(&caller, &request.subject, &request.metric)?;
    let horizon = duration("horizon", request.horizon)?;
    let horizon = horizon.ok_or_else(|| invalid("horizon", "must not be empty", "REQUIRED"))?;
    let step = duration("step", request.step)?;
    let levels = levels(request.levels)?;
    let key = SeriesKey { subject: request.subject, metric: request.metric };
    let subjects = [key.subject.as_str()];
    let maker = maker(rpc, &subjects);
    let snapshot = || snapshot_with(rpc, deadline, &maker, &request.consistency_token);
    let oldest = rpc.oldest_sample();
    let (series, unit) = find_series(snapshot().await?.as_mut(), &key, ("subject", "metric"), oldest).await?;
    let named = key.clone();
    let question = ForecastQuestion { series, key: named, oldest, horizon, step, levels };
    let turn = rpc.fits.turn(deadline).await?;
    let fit = rpc.forecasts.prepare(snapshot().await?.as_mut(), question).await.map_err(refused)?;
    let response = turn.run(fit).await?.map_err(refused)?;
    Ok(GetForecastResponse { key: Some(key_to_proto(key)), unit, ..response })
}

fn duration(field: &str, given: Option<prost_types::Duration>) -> Result<Option<Duration>, Failure> {
    let duration = given.map(Duration::try_from).transpose();
    let duration = duration.map_err(|_| invalid(field, "must be above zero", "OUT_OF_RANGE"))?;
    if duration == Some(Duration::ZERO) {
        return Err(invalid(field, "must be above zero", "OUT_OF_RANGE"));
    }
    Ok(duration)
}

fn levels(mut wanted: Vec<f64>) -> Result<Vec<f64>, Failure> {
    if wanted.is_empty() {
        return Ok(USUAL_LEVELS.to_vec());
    }
    if wanted.len() > MOST_LEVELS {
        return Err(invalid("levels", "must be at most ten", "OUT_OF_RANGE"));
    }
    for (index, level) in wanted.iter().enumerate() {
        if !(*level > 0.0 && *level < 1.0) {
            return Err(invalid(&format!("levels[{index}]"), "must be above 0 and below 1", "OUT_OF_RANGE"));
        }
    }
    wanted.sort_unstable_by(f64::total_cmp);
    wanted.dedup_by(|one, next| one.total_cmp(next).is_eq());
    Ok(wanted)
}

fn refused(why: NoForecast) -> Failure {
    match why {
        NoForecast::Field(field, problem) => invalid(field, &problem, "OUT_OF_RANGE"),
        NoForecast::Empty => {
            let none = Steps { have: 0, need: 1, enough_for: 0, step: Duration::ZERO };
            too_short("metric", "has no samples that are still kept", none)
        }
        NoForecast::TooShort(steps) => {
            let Steps { have, need, enough_for, step } = steps;
            if have == 0 {
                let problem =
                    format!("none of {step:?} is over in the series: a forecast needs steps of history");
                too_short("step", &problem, steps)
            } else if enough_for == 0 {
                let problem = format!(
                    "the series has {have} steps of {step:?} that are over, and {need} are needed: it must be \
                     shorter, or the history longer"
                );
                too_short("step", &problem, steps)
            } else {
                let problem = format!(
                    "needs {need} steps of {step:?} of history, and the series has {have}, which are enough for a \
                     horizon of {enough_for}"
                );
                too_short("horizon", &problem, steps)
            }
        }
        NoForecast::Unfit(why) => {
            let message = format!("the series cannot be forecast: {why}");
            Failure::new(ErrorKind::FailedPrecondition, message).with_reason("UNFIT", [])
        }
        NoForecast::Store(error) => store_failed(&error),
    }
}

/// `field` is what could be asked otherwise.
fn too_short(field: &str, problem: &str, Steps { have, need, enough_for, .. }: Steps) -> Failure {
    let counts = [
        ("field", field.to_owned()),
        ("have", have.to_string()),
        ("need", need.to_string()),
        ("enough_for", enough_for.to_string()),
    ];
    Failure::new(ErrorKind::FailedPrecondition, format!("{field}: {problem}"))
        .with_reason("HISTORY_TOO_SHORT", counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_that_is_too_short_says_what_could_be_asked_otherwise() {
        let steps = |have, need, enough_for| {
            let steps = Steps { have, need, enough_for, step: Duration::from_mins(15) };
            refused(NoForecast::TooShort(steps)).message().to_owned()
        };
        assert!(refused(NoForecast::Empty).message().starts_with("metric: has no samples"));
        assert!(steps(0, 1, 0).starts_with("step: none of 900s is over"), "{}", steps(0, 1, 0));
        assert!(
            steps(20, 25, 0).starts_with("step: the series has 20 steps of 900s"),
            "{}",
            steps(20, 25, 0)
        );
        let horizon = steps(100, 120, 76);
        assert!(horizon.starts_with("horizon: needs 120 steps of 900s"), "{horizon}");
        assert!(horizon.contains("has 100") && horizon.ends_with("a horizon of 76"), "{horizon}");
    }

    fn is_about(refused: &Failure, field: &str) -> bool {
        refused.kind() == ErrorKind::Invalid && refused.message().split(' ').next() == Some(field)
    }

    #[test]
    fn levels_ascend_and_are_probabilities() {
        assert_eq!(levels(vec![]).expect("usual"), USUAL_LEVELS);
        assert_eq!(levels(vec![0.9, 0.5, 0.9]).expect("in order"), [0.5, 0.9]);
        for (wrong, at) in
            [(vec![0.5, 1.0], "levels[1]"), (vec![f64::NAN], "levels[0]"), (vec![0.5; 11], "levels")]
        {
            assert!(is_about(&levels(wrong).expect_err("wrong"), at), "{at}");
        }
    }

    #[test]
    fn durations_are_above_zero() {
        let of = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
        assert_eq!(duration("step", of(60)).expect("a minute"), Some(Duration::from_mins(1)));
        assert_eq!(duration("step", None).expect("not given"), None);
        for wrong in [0, -5] {
            assert!(is_about(&duration("step", of(wrong)).expect_err("wrong"), "step"), "{wrong}");
        }
    }
}
