//! Expected breaches as events.

use std::time::Duration;

use cornjacket_domain::{SeriesKey, Timestamp, id_of};
use cornjacket_proto::events::breach_expected::Direction;
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::{BreachExpected, Event};
use cornjacket_store::Episode;
use prost::Message;

use super::rule::{Rule, value};
use crate::anomaly::SOURCE;
use crate::forecasters::{Breach, Limit, Prediction};
use crate::history::History;

const TYPE: &str = "ai.breach_expected";

/// A breach before it is an event.
#[derive(Debug)]
pub(super) struct Expected<'a> {
    /// Of which series.
    pub key: &'a SeriesKey,
    /// By which rule.
    pub rule: &'a Rule,
    /// Of which limit of it.
    pub limit: Limit,
    /// The episode that begins.
    pub episode: Episode,
    /// When it is expected.
    pub breach: Breach,
    /// What the forecast was made from.
    pub history: &'a History,
    /// The forecast.
    pub prediction: &'a Prediction,
}

impl Expected<'_> {
    /// The event, encoded. It has no cause, and no trace: a forecast follows from all of its history. The last sample that it
    /// has seen is named by the position of its event.
    pub fn encode(&self) -> Vec<u8> {
        let Self { key, rule, limit, breach, history, prediction, .. } = self;
        let last = &history.last;
        let time = |step: usize| self.time_of(step).to_proto();
        let length = |duration: Duration| prost_types::Duration::try_from(duration).ok();
        let payload = BreachExpected {
            series_subject: key.subject.clone(),
            metric: key.metric.clone(),
            rule: rule.name.clone(),
            limit: value(*limit),
            direction: direction(*limit).into(),
            severity: rule.severity.into(),
            expected_time: breach.expected.map(time),
            earliest_time: breach.earliest.map(time),
            probability: breach.probability,
            horizon: length(rule.horizon),
            step: length(history.step),
            forecaster: prediction.forecast.forecaster.to_owned(),
            forecaster_version: prediction.forecast.version.to_owned(),
            last_time: Some(last.time.to_proto()),
            last_value: last.value,
            last_position: last.position,
        };
        let event = Event {
            id: self.id(),
            source: SOURCE.to_owned(),
            r#type: TYPE.to_owned(),
            subject: key.subject.clone(),
            event_time: Some(last.time.to_proto()),
            payload: Some(Payload::BreachExpected(payload)),
            ..Event::default()
        };
        event.encode_to_vec()
    }

    fn time_of(&self, step: usize) -> Timestamp {
        self.prediction.start + self.history.step * u32::try_from(step).unwrap_or(u32::MAX)
    }

    /// Of what makes it this episode and no other.
    fn id(&self) -> String {
        let Self { key, rule, limit, episode, .. } = self;
        let (direction, since) = (direction(*limit).as_str_name(), episode.since.to_string());
        id_of([TYPE, &key.subject, &key.metric, &rule.name, direction, &since])
    }
}

const fn direction(limit: Limit) -> Direction {
    match limit {
        Limit::Upper(_) => Direction::Up,
        Limit::Lower(_) => Direction::Down,
    }
}
