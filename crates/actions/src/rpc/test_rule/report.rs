//! What a test came to: all of it counted, the first of it shown.

use std::collections::BTreeMap;

use cornjacket_proto::actions::TestRuleResponse;
use cornjacket_proto::actions::alarm::Change;
use cornjacket_proto::actions::test_rule_response::r#match::Telling;
use cornjacket_proto::actions::test_rule_response::{Match, OutcomeCount, Problem};
use prost::Message as _;

use super::super::explain;
use crate::AlarmChange;
use crate::dispatcher::trial::Tried;

/// Matches that are shown where the caller does not say, and at the most.
const SHOWN: u32 = 100;
const MOST_SHOWN: u32 = 1_000;
/// Bytes of them: clients take answers of 4 MiB.
const MOST_BYTES: usize = 2 << 20;

/// What has come of a test so far.
#[derive(Debug)]
pub(super) struct Report {
    limit: usize,
    bytes: usize,
    /// Whether there was no room for one: none is shown behind it.
    is_full: bool,
    counts: BTreeMap<i32, u64>,
    response: TestRuleResponse,
}

impl Report {
    /// Nothing yet. So many are shown; as many as usual when 0.
    pub fn new(limit: u32, problems: Vec<Problem>) -> Self {
        let limit = if limit == 0 { SHOWN } else { limit.min(MOST_SHOWN) };
        let response = TestRuleResponse { problems, ..TestRuleResponse::default() };
        Self { limit: limit as usize, bytes: 0, is_full: false, counts: BTreeMap::new(), response }
    }

    /// One more event was looked at.
    pub fn add(&mut self, tried: Option<Tried>) {
        self.response.events_read += 1;
        let Some(tried) = tried else { return };
        let shown = shown(tried);
        let outcome = shown.decision.as_ref().map_or(0, |decision| decision.outcome);
        *self.counts.entry(outcome).or_default() += 1;
        self.bytes += shown.encoded_len();
        self.is_full |= self.response.matches.len() == self.limit || self.bytes > MOST_BYTES;
        if !self.is_full {
            self.response.matches.push(shown);
        }
    }

    /// There is more behind that position; nothing when it is 0.
    pub fn goes_on_after(&mut self, position: u64) {
        self.response.next_after_position = position;
    }

    /// All of it.
    pub fn response(self) -> TestRuleResponse {
        let count = |(outcome, count)| OutcomeCount { outcome, count };
        TestRuleResponse { counts: self.counts.into_iter().map(count).collect(), ..self.response }
    }
}

fn shown(tried: Tried) -> Match {
    let change = tried.told.first().map_or(AlarmChange::None, |(_, message)| message.alarm_change());
    let telling = |(endpoint, message): (String, crate::Message)| Telling {
        endpoint,
        title: message.title,
        text: message.text,
    };
    Match {
        decision: Some(explain::to_proto(tried.decision)),
        severity: tried.severity.into(),
        alarm_key: tried.alarm_key.unwrap_or_default(),
        alarm_change: to_proto(change).into(),
        tellings: tried.told.into_iter().map(telling).collect(),
    }
}

const fn to_proto(change: AlarmChange) -> Change {
    match change {
        AlarmChange::None => Change::Unspecified,
        AlarmChange::Raised => Change::Raised,
        AlarmChange::SeverityChanged => Change::SeverityChanged,
        AlarmChange::Acknowledged => Change::Acknowledged,
        AlarmChange::Cleared => Change::Cleared,
    }
}

#[cfg(test)]
mod tests {
    use cornjacket_proto::actions::{Severity, decision};
    use cornjacket_store::{Decision, Outcome};

    use super::*;
    use crate::Message;
    use crate::testing::NOW;

    fn tried(position: u64, outcome: Outcome, text: &str) -> Tried {
        let decision = Decision {
            id: position.to_string(),
            rule: "hot".into(),
            rule_version: 1,
            source: "plant".into(),
            event_id: position.to_string(),
            position,
            event_type: "sensor.reading".into(),
            subject: "pump-7".into(),
            outcome,
            reason: String::new(),
            because: None,
            count: 1,
            first_time: NOW,
            last_time: NOW,
            last_position: position,
        };
        let message = Message { text: text.into(), ..Message::default() };
        Tried { decision, severity: Severity::Info, alarm_key: None, told: vec![("pager".into(), message)] }
    }

    fn positions(response: &TestRuleResponse) -> Vec<u64> {
        response.matches.iter().filter_map(|one| Some(one.decision.as_ref()?.position)).collect()
    }

    #[test]
    fn the_first_are_shown_and_all_are_counted() {
        let mut report = Report::new(2, Vec::new());
        report.add(None);
        for position in 1..=3 {
            report.add(Some(tried(position, Outcome::Sent, "")));
        }
        report.add(Some(tried(4, Outcome::Muted, "")));
        let response = report.response();
        assert_eq!((response.events_read, positions(&response)), (5, vec![1, 2]));
        let counts: Vec<_> = response.counts.iter().map(|one| (one.outcome(), one.count)).collect();
        assert_eq!(counts, [(decision::Outcome::Sent, 3), (decision::Outcome::Muted, 1)]);
    }

    #[test]
    fn what_is_shown_is_bounded() {
        let shown = |limit, text: &str| {
            let mut report = Report::new(limit, Vec::new());
            (1..=1_500).for_each(|position| report.add(Some(tried(position, Outcome::Sent, text))));
            positions(&report.response())
        };
        assert_eq!([0, u32::MAX].map(|limit| shown(limit, "").len()), [100, 1_000]);
        // None is shown behind one that has no room, however short it is.
        let long = "x".repeat(MOST_BYTES / 3);
        assert_eq!(shown(10, &long), [1, 2]);
    }
}
