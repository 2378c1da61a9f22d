//! A backtest as text: what would have been found, when, how often, and how that differs from what was sent.

use std::fmt::Write;

use cornjacket_domain::Timestamp;
use cornjacket_proto::admin::{BacktestDifference, BacktestFinding, BacktestResult, BacktestSent};
use cornjacket_proto::events::anomaly_detected::Severity;

use crate::commands::table;

/// Series and days that are shown, at most.
const MOST: usize = 20;

/// All of it; ends in a line break.
pub(super) fn of(samples: u64, result: &BacktestResult) -> String {
    let mut text = head(samples, result);
    if !result.findings.is_empty() {
        let head = ["TIME", "SUBJECT", "METRIC", "VALUE", "EXPECTED", "SCORE", "SEVERITY", "WHY", ""];
        text.push('\n');
        text += &table::of(&head, result.findings.iter().map(finding));
        let more = result.found - result.findings.len() as u64;
        if more > 0 {
            writeln!(text, "... and {more} more").expect("into memory");
        }
    }
    text += &often(result);
    text + &result.difference.as_ref().map(difference).unwrap_or_default()
}

fn head(samples: u64, result: &BacktestResult) -> String {
    let BacktestResult { model, version, detector, detector_version, found, found_as_shadow, notes, .. } =
        result;
    let which = if *version == 0 { format!("draft {model:?}") } else { format!("{model}/{version}") };
    let shadow =
        if *found_as_shadow > 0 { format!(", {found_as_shadow} of them as a shadow") } else { String::new() };
    let what = format!("{found} anomalies in {samples} samples{shadow}");
    let head = format!("{which} ({detector} {detector_version}): {what}\n");
    notes.iter().fold(head, |text, note| text + "note: " + note + "\n")
}

fn often(result: &BacktestResult) -> String {
    if result.series.is_empty() {
        return String::new();
    }
    let series = result.series.iter().take(MOST).map(|one| {
        let (subject, metric) = (one.subject.clone(), one.metric.clone());
        [subject, metric, one.samples.to_string(), one.found.to_string(), one.sent.to_string()]
    });
    let days = result.days.iter().rev().take(MOST).rev().map(|one| {
        let day = time(one.day.as_ref());
        [day.split('T').next().unwrap_or_default().to_owned(), one.found.to_string(), one.sent.to_string()]
    });
    let series = table::of(&["SUBJECT", "METRIC", "SAMPLES", "FOUND", "SENT"], series);
    format!("\n{series}\n{}", table::of(&["DAY", "FOUND", "SENT"], days))
}

fn difference(difference: &BacktestDifference) -> String {
    let BacktestDifference { compared, sent, both, only_found, only_sent, .. } = difference;
    if compared.is_empty() {
        return "\nnothing runs now that it could be compared with\n".to_owned();
    }
    let mut text = format!(
        "\ncompared with what {} sent ({sent}): {both} in both, {only_found} only here, {only_sent} only there\n",
        compared.join(", ")
    );
    if *only_found > 0 {
        let rows = difference.only_found_examples.iter().map(finding);
        let head = ["ONLY HERE", "SUBJECT", "METRIC", "VALUE", "EXPECTED", "SCORE", "SEVERITY", "WHY", ""];
        text += &table::of(&head, rows);
    }
    if *only_sent > 0 {
        let rows = difference.only_sent_examples.iter().map(missed);
        text += &table::of(&["ONLY THERE", "SUBJECT", "METRIC", "SCORE", "SEVERITY", "MODEL"], rows);
    }
    text
}

fn finding(finding: &BacktestFinding) -> [String; 9] {
    let anomaly = finding.anomaly.clone().unwrap_or_default();
    let expected = match (anomaly.expected_lower, anomaly.expected_upper) {
        (Some(lower), Some(upper)) => format!("{lower:.2} to {upper:.2}"),
        _ => String::new(),
    };
    let why: Vec<_> = anomaly.contributions.iter().take(3).map(|one| one.feature.as_str()).collect();
    [
        time(anomaly.sample_time.as_ref()),
        anomaly.series_subject.clone(),
        anomaly.metric.clone(),
        anomaly.value.to_string(),
        expected,
        format!("{:.3}", anomaly.score),
        severity(anomaly.severity()),
        why.join(", "),
        if finding.shadow { "(shadow)".to_owned() } else { String::new() },
    ]
}

fn missed(sent: &BacktestSent) -> [String; 6] {
    [
        time(sent.time.as_ref()),
        sent.subject.clone(),
        sent.metric.clone(),
        sent.score.map(|score| format!("{score:.3}")).unwrap_or_default(),
        severity(sent.severity()),
        format!("{}/{}", sent.model, sent.version),
    ]
}

fn time(time: Option<&prost_types::Timestamp>) -> String {
    time.and_then(Timestamp::from_proto).map(|time| time.to_proto().to_string()).unwrap_or_default()
}

fn severity(severity: Severity) -> String {
    severity.as_str_name().trim_start_matches("SEVERITY_").to_lowercase()
}

#[cfg(test)]
mod tests {
    use cornjacket_proto::admin::{BacktestDay, BacktestSeries};
    use cornjacket_proto::events::AnomalyDetected;

    use super::*;

    #[test]
    fn a_summary_says_what_when_how_often_and_the_difference() {
        let noon = Some(prost_types::Timestamp { seconds: 43_200, nanos: 0 });
        let anomaly = AnomalyDetected {
            series_subject: "pump".into(),
            metric: "x".into(),
            sample_time: noon,
            value: 99.5,
            score: 0.75,
            severity: Severity::Warning.into(),
            ..AnomalyDetected::default()
        };
        let found = BacktestFinding { anomaly: Some(anomaly), ..BacktestFinding::default() };
        let day = BacktestDay { day: Some(prost_types::Timestamp::default()), found: 2, sent: 1 };
        let (subject, metric) = ("pump".to_owned(), "x".to_owned());
        let missed = BacktestSent {
            subject: subject.clone(),
            metric: metric.clone(),
            time: noon,
            model: "hot".into(),
            version: 2,
            severity: Severity::Info.into(),
            ..BacktestSent::default()
        };
        let result = BacktestResult {
            model: "hot".into(),
            detector: "threshold".into(),
            detector_version: "1".into(),
            found: 2,
            series: vec![BacktestSeries { subject, metric, samples: 50, found: 2, sent: 1 }],
            days: vec![day],
            findings: vec![found.clone()],
            difference: Some(BacktestDifference {
                compared: vec!["hot/2".into()],
                sent: 1,
                only_found: 2,
                only_sent: 1,
                only_found_examples: vec![found],
                only_sent_examples: vec![missed],
                ..BacktestDifference::default()
            }),
            ..BacktestResult::default()
        };
        let expected = "draft \"hot\" (threshold 1): 2 anomalies in 50 samples\n\
            \n\
            TIME                  SUBJECT  METRIC  VALUE  EXPECTED  SCORE  SEVERITY  WHY\n\
            1970-01-01T12:00:00Z  pump     x       99.5             0.750  warning\n\
            ... and 1 more\n\
            \n\
            SUBJECT  METRIC  SAMPLES  FOUND  SENT\n\
            pump     x       50       2      1\n\
            \n\
            DAY         FOUND  SENT\n\
            1970-01-01  2      1\n\
            \n\
            compared with what hot/2 sent (1): 0 in both, 2 only here, 1 only there\n\
            ONLY HERE             SUBJECT  METRIC  VALUE  EXPECTED  SCORE  SEVERITY  WHY\n\
            1970-01-01T12:00:00Z  pump     x       99.5             0.750  warning\n\
            ONLY THERE            SUBJECT  METRIC  SCORE  SEVERITY  MODEL\n\
            1970-01-01T12:00:00Z  pump     x              info      hot/2\n";
        assert_eq!(of(50, &result), expected);
    }
}
