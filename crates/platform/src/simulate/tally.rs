//! What became of the events that were sent.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use cornjacket_domain::Timestamp;
use cornjacket_proto::ingest::Outcome;
use cornjacket_proto::ingest::outcome::Result::{Error, Receipt};
use cornjacket_simulator::Sent;
use indicatif::HumanCount;
use tonic::Code;

/// What became of the events that were sent.
#[derive(Debug, Default)]
pub struct Tally {
    sent: u64,
    stored: u64,
    duplicates: u64,
    /// By code, with what the first one said.
    refused: BTreeMap<i32, (u64, String)>,
    /// From when to when, by the simulated clock.
    span: Option<(Timestamp, Timestamp)>,
    /// From the beginning to the last answer.
    pub took: Duration,
}

impl Tally {
    /// These are on their way.
    pub fn sent(&mut self, batch: &[Sent]) {
        self.sent += batch.len() as u64;
        if let [first, .., last] | [first @ last] = batch {
            self.span = Some((self.span.map_or(first.at, |(from, _)| from), last.at));
        }
    }

    /// The server has answered for these.
    pub fn answered(&mut self, outcomes: &[Outcome]) {
        for outcome in outcomes {
            match &outcome.result {
                Some(Receipt(receipt)) if receipt.duplicate => self.duplicates += 1,
                Some(Receipt(_)) => self.stored += 1,
                Some(Error(error)) => self.refuse(error.code, &error.message),
                None => self.refuse(Code::Internal.into(), "an outcome is empty"),
            }
        }
    }

    fn refuse(&mut self, code: i32, message: &str) {
        let (count, _) = self.refused.entry(code).or_insert_with(|| (0, message.to_owned()));
        *count += 1;
    }

    /// Events that the server has answered for.
    pub fn answers(&self) -> u64 {
        self.stored + self.duplicates + self.refused.values().map(|(count, _)| count).sum::<u64>()
    }

    /// As much of it as stands beside a progress bar.
    pub fn brief(&self) -> String {
        let until = self.span.map_or(Timestamp::default(), |(_, until)| until);
        format!("{} a second, simulated until {}", HumanCount(self.per_second()), seconds(until))
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX).max(1)
    }

    fn per_second(&self) -> u64 {
        self.answers() * 1_000 / self.millis()
    }

    /// A refusal that is the server's own fault is an error.
    pub fn check(&self) -> anyhow::Result<()> {
        match self.refused.get(&Code::Internal.into()) {
            Some((count, message)) => anyhow::bail!("the server failed at {count} events: {message}"),
            None => Ok(()),
        }
    }
}

/// Without what is below a second.
fn seconds(time: Timestamp) -> cornjacket_proto::Timestamp {
    cornjacket_proto::Timestamp { nanos: 0, ..time.to_proto() }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, count: u64, more: &str| {
            let line = format!("{name:<12}{:>12}  {more}", HumanCount(count).to_string());
            writeln!(formatter, "{}", line.trim_end())
        };
        line("sent", self.sent, "")?;
        line("stored", self.stored, "")?;
        line("duplicates", self.duplicates, "")?;
        for (code, (count, message)) in &self.refused {
            line("refused", *count, &format!("{:?}: {message}", Code::from_i32(*code)))?;
        }
        if self.sent > self.answers() {
            line("unanswered", self.sent - self.answers(), "whether they are stored is not known")?;
        }
        let took = humantime::format_duration(Duration::from_millis(self.millis()));
        line("a second", self.per_second(), &format!("for {took}"))?;
        match self.span {
            Some((from, until)) => writeln!(formatter, "simulated   {} to {}", seconds(from), seconds(until)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use cornjacket_proto::google::rpc::Status;
    use cornjacket_proto::ingest;

    use super::*;

    fn refused(code: Code, message: &str) -> Outcome {
        let status = Status { code: code.into(), message: message.into(), details: vec![] };
        Outcome { result: Some(Error(status)) }
    }

    fn receipt(duplicate: bool) -> Outcome {
        Outcome { result: Some(Receipt(ingest::Receipt { duplicate, ..ingest::Receipt::default() })) }
    }

    #[test]
    fn every_event_is_accounted_for() {
        let at = Timestamp::from_micros(1_767_225_600_500_000);
        let event = Sent { at, event: cornjacket_proto::events::Event::default() };
        let mut tally = Tally { took: Duration::from_millis(2_500), ..Tally::default() };
        tally.sent(&vec![event; 6]);
        let bad = [refused(Code::InvalidArgument, "first"), refused(Code::InvalidArgument, "second")];
        tally.answered(&[receipt(false), receipt(false), receipt(true)]);
        tally.answered(&bad);
        assert_eq!(
            tally.to_string(),
            "sent                   6\n\
             stored                 2\n\
             duplicates             1\n\
             refused                2  InvalidArgument: first\n\
             unanswered             1  whether they are stored is not known\n\
             a second               2  for 2s 500ms\n\
             simulated   2026-01-01T00:00:00Z to 2026-01-01T00:00:00Z\n"
        );
    }

    #[test]
    fn a_defect_of_the_server_is_an_error() {
        let mut tally = Tally::default();
        tally.answered(&[refused(Code::InvalidArgument, "ours")]);
        assert!(tally.check().is_ok());
        tally.answered(&[refused(Code::Internal, "theirs")]);
        assert!(tally.check().is_err_and(|error| error.to_string().contains("theirs")));
    }
}
