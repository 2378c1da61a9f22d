//! What a backtest comes to, series by series.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};

use cornjacket_domain::{SeriesKey, Timestamp};
use cornjacket_proto::admin::{
    BacktestDay, BacktestDifference, BacktestFinding, BacktestResult, BacktestSent, BacktestSeries,
};

use super::asked::Names;
use crate::replays::{Judged, Replay, Sent, Waits};

/// Series that are told of.
const MOST_SERIES: usize = 1_000;

/// What there is so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Samples of the range.
    pub samples: u64,
    /// Anomalies that would have been found.
    pub found: u64,
    /// Findings, and examples of each difference, that are kept.
    room: usize,
    names: Names,
    as_shadow: u64,
    series: Vec<BacktestSeries>,
    /// By the number of the day since 1970: found and sent.
    days: BTreeMap<i64, (u64, u64)>,
    findings: Vec<BacktestFinding>,
    difference: BacktestDifference,
}

impl Tally {
    /// Of nothing yet.
    pub fn new(room: usize, names: Names) -> Self {
        Self { room, names, ..Self::default() }
    }

    /// With one more series; nothing when nobody waits for it.
    pub fn with(mut self, key: SeriesKey, replay: Replay, waits: &Waits) -> Option<Self> {
        let Replay { samples, sent, run } = replay;
        let sent_at: HashSet<u64> = sent.iter().map(|sent| sent.position).collect();
        let (mut found_at, before) = (HashSet::new(), self.found);
        run(waits, &mut |judged| {
            if judged.anomaly.is_some() {
                found_at.insert(judged.sample.position);
                let was_sent = sent_at.contains(&judged.sample.position);
                self.find(judged, was_sent);
            }
        })?;
        for sent in &sent {
            self.send(&key, sent, found_at.contains(&sent.position));
        }
        self.samples += samples;
        let (found, sent) = (self.found - before, sent.len() as u64);
        if found + sent > 0 {
            let SeriesKey { subject, metric } = key;
            self.series.push(BacktestSeries { subject, metric, samples, found, sent });
        }
        Some(self)
    }

    fn find(&mut self, judged: Judged, was_sent: bool) {
        self.found += 1;
        self.as_shadow += u64::from(!judged.is_active);
        self.day(judged.sample.time).0 += 1;
        let finding = BacktestFinding {
            position: judged.sample.position,
            anomaly: judged.anomaly,
            shadow: !judged.is_active,
            ..BacktestFinding::default()
        };
        if was_sent {
            self.difference.both += 1;
        } else {
            self.difference.only_found += 1;
            if self.difference.only_found_examples.len() < self.room {
                self.difference.only_found_examples.push(finding.clone());
            }
        }
        if self.findings.len() < self.room {
            self.findings.push(finding);
        }
    }

    fn send(&mut self, key: &SeriesKey, sent: &Sent, is_found: bool) {
        self.difference.sent += 1;
        self.day(sent.time).1 += 1;
        if is_found {
            return;
        }
        self.difference.only_sent += 1;
        if self.difference.only_sent_examples.len() < self.room {
            let (model, version) = self.names.get(&sent.model).cloned().unwrap_or_default();
            self.difference.only_sent_examples.push(BacktestSent {
                subject: key.subject.clone(),
                metric: key.metric.clone(),
                time: Some(sent.time.to_proto()),
                position: sent.position,
                model,
                version,
                score: sent.score,
                severity: sent.severity.into(),
            });
        }
    }

    fn day(&mut self, time: Timestamp) -> &mut (u64, u64) {
        self.days.entry(time.day()).or_default()
    }

    /// All of it, without what is known of the model.
    pub fn into_result(mut self) -> BacktestResult {
        self.series.sort_by_key(|series| Reverse(series.found + series.sent));
        self.series.truncate(MOST_SERIES);
        let day = |(day, (found, sent))| BacktestDay {
            day: Some(Timestamp::from_day(day).to_proto()),
            found,
            sent,
        };
        BacktestResult {
            found: self.found,
            found_as_shadow: self.as_shadow,
            series: self.series,
            days: self.days.into_iter().map(day).collect(),
            findings: self.findings,
            difference: Some(self.difference),
            ..BacktestResult::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cornjacket_domain::Sample;
    use cornjacket_proto::events::AnomalyDetected;
    use cornjacket_store::ModelId;
    use tokio::time::Instant;

    use super::*;
    use crate::replays::Asker;

    /// So many hours into some day.
    fn at(position: u64) -> Timestamp {
        Timestamp::from_day(20_000) + Duration::from_hours(position)
    }

    /// A replay that finds something at these positions, the first time as a shadow; and what was sent, by which model.
    fn replay(found: Vec<u64>, sent: &[(u64, i32)]) -> Replay {
        let sent = sent.iter().map(|(position, model)| Sent {
            time: at(*position),
            position: *position,
            model: ModelId(*model),
            score: None,
            severity: 2,
        });
        let run = move |waits: &Waits, tell: &mut dyn FnMut(Judged)| {
            for (index, position) in found.into_iter().enumerate() {
                let sample = Sample { time: at(position), position, value: 1.0 };
                let quiet = Judged {
                    sample,
                    late: false,
                    score: None,
                    expected: None,
                    anomaly: None,
                    is_active: index > 0,
                };
                tell(quiet.clone());
                tell(Judged { anomaly: Some(AnomalyDetected::default()), ..quiet });
            }
            waits.goes_on().then_some(())
        };
        Replay { samples: 10, sent: sent.collect(), run: Box::new(run) }
    }

    #[tokio::test(start_paused = true)]
    async fn findings_are_compared_with_what_was_sent_by_their_samples() {
        let key = |subject: &str| SeriesKey { subject: subject.into(), metric: "x".into() };
        let asker = Asker::default();
        let waits = asker.until(Instant::now() + Duration::from_secs(1));
        let names = [(ModelId(1), ("m".to_owned(), 4)), (ModelId(2), ("n".to_owned(), 1))].into();
        let tally = Tally::new(2, names)
            .with(key("a"), replay(vec![3, 5, 30, 31], &[(5, 1), (30, 1), (30, 2), (40, 2)]), &waits)
            .and_then(|tally| tally.with(key("b"), replay(vec![], &[(1, 1)]), &waits))
            .and_then(|tally| tally.with(key("c"), replay(vec![], &[]), &waits))
            .expect("somebody waits");
        assert_eq!((tally.samples, tally.found), (30, 4));
        let result = tally.into_result();
        assert_eq!((result.found_as_shadow, result.findings.len()), (1, 2));
        assert!(result.findings[0].shadow && !result.findings[1].shadow);
        let series: Vec<_> =
            result.series.iter().map(|one| (one.subject.as_str(), one.found, one.sent)).collect();
        assert_eq!(series, [("a", 4, 4), ("b", 0, 1)]);
        let days: Vec<_> = result.days.iter().map(|day| (day.found, day.sent)).collect();
        assert_eq!(days, [(2, 2), (2, 3)]);
        let difference = result.difference.expect("told");
        let BacktestDifference { sent, both, only_found, only_sent, .. } = difference;
        assert_eq!((sent, both, only_found, only_sent), (5, 2, 2, 2));
        let alone: Vec<_> = difference.only_found_examples.iter().map(|one| one.position).collect();
        assert_eq!(alone, [3, 31]);
        let missed: Vec<_> =
            difference.only_sent_examples.iter().map(|one| (one.model.as_str(), one.version)).collect();
        assert_eq!(missed, [("n", 1), ("m", 4)]);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_hangs_up_ends_it() {
        let asker = Asker::default();
        let waits = asker.until(Instant::now() + Duration::from_secs(1));
        drop(asker);
        let key = SeriesKey { subject: "a".into(), metric: "x".into() };
        assert!(Tally::new(2, Names::new()).with(key, replay(vec![1], &[]), &waits).is_none());
    }
}
