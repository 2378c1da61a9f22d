//! The law of trials, on both stores: a rule decides as it would have decided, event by event, and says the same words.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cornjacket_bus::Handler;
use cornjacket_proto::actions::active_times::TimeRange;
use cornjacket_proto::actions::silence::Matcher;
use cornjacket_proto::actions::silence::matcher::Field;
use cornjacket_proto::actions::{ActiveTimes, AlarmRule, Grouping, Rule, Silence};
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::{AnomalyDetected, Event};
use cornjacket_store::{DeliveryFilter, Outcome};

use super::*;
use crate::decide::Decisions;
use crate::deliverer::laws::bed::{Bed, MINUTE, endpoint};
use crate::deliverer::laws::laws;
use crate::dispatcher::Dispatcher;
use crate::{groups, rules};

laws!(a_trial_decides_and_says_what_was_decided_and_said);

const EVENTS: u64 = 300;
/// The rule whose tellings are of several events.
const TOGETHER: &str = "together";

/// Anomalies of three subjects, some of them over, each a while after the one before.
fn event(bed: &Bed, number: u64) -> Delivered {
    bed.clock.advance(Duration::from_secs(number * 37 % 180));
    let position = number + 1;
    let payload = AnomalyDetected {
        score: if number % 5 == 3 { 0.0 } else { 7.0 },
        severity: i32::try_from(number / 7 % 3 + 1).unwrap_or_default(),
        ..AnomalyDetected::default()
    };
    let event = Event {
        id: position.to_string(),
        source: "plant".into(),
        r#type: "ai.anomaly_detected".into(),
        subject: format!("pump-{}", number * number % 3),
        position,
        payload: (number % 11 != 5).then_some(Payload::AnomalyDetected(payload)),
        ..Event::default()
    };
    Delivered { offset: position, ingest_time: bed.now(), event }
}

fn rule(name: &str) -> Rule {
    Rule {
        name: name.into(),
        types: vec!["ai.*".into()],
        condition: "event.anomaly_detected.score > 5.0".into(),
        endpoints: vec!["pager".into(), "desk".into()],
        ..Rule::default()
    }
}

fn all_rules() -> [Rule; 5] {
    let range =
        |start: &str, end: &str| TimeRange { start: start.into(), end: end.into(), ..TimeRange::default() };
    let at_times =
        ActiveTimes { ranges: vec![range("23:00", "02:00"), range("04:00", "")], ..ActiveTimes::default() };
    let clear_condition = "has(event.anomaly_detected) && event.anomaly_detected.score < 1.0".into();
    let alarm = Some(AlarmRule { clear_condition, ..AlarmRule::default() });
    let condition = "has(event.anomaly_detected) && event.anomaly_detected.score > 5.0".to_owned();
    [
        rule("by-window"),
        Rule { active_times: Some(at_times.clone()), condition: condition.clone(), ..rule("at-times") },
        Rule { alarm: alarm.clone(), ..rule("lasting") },
        Rule { alarm, condition, active_times: Some(at_times), ..rule("lasting-at-times") },
        Rule { grouping: Some(grouping()), ..rule(TOGETHER) },
    ]
}

/// Half a minute after the first, whenever it was told before.
fn grouping() -> Grouping {
    let duration = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    Grouping { key: "hall".into(), wait: duration(30), interval: duration(0), ..Grouping::default() }
}

/// One that begins later, over one of the subjects.
fn silence(bed: &Bed) -> Silence {
    let matcher = Matcher { field: Field::Subject.into(), pattern: "pump-1".into(), negated: false };
    Silence {
        name: "cleaning".into(),
        matchers: vec![matcher],
        start_time: Some((bed.now() + 60 * MINUTE).to_proto()),
        end_time: Some((bed.now() + 180 * MINUTE).to_proto()),
        comment: "it is being cleaned".into(),
        ..Silence::default()
    }
}

/// All rows of the ledger, by id.
async fn ledger(bed: &Bed, events: &[Delivered]) -> anyhow::Result<BTreeMap<String, Decision>> {
    let mut rows = BTreeMap::new();
    for Delivered { event, .. } in events {
        let found = bed.decisions(event).await?;
        rows.extend(found.into_iter().map(|one| (one.id.clone(), one)));
    }
    Ok(rows)
}

async fn a_trial_decides_and_says_what_was_decided_and_said(bed: Bed) -> anyhow::Result<()> {
    bed.define(&endpoint("pager")).await?;
    bed.define(&endpoint("desk")).await?;
    bed.silence(&silence(&bed)).await?;
    for rule in all_rules() {
        bed.rule(&rule).await?;
    }
    let kept_rules = RuleSet::new(&bed.store.defining.read().await?);
    let dispatcher = Dispatcher::new(bed.clock.clone());
    let mut events = Vec::new();
    for number in 0..EVENTS {
        let event = event(&bed, number);
        let mut tx = bed.store.offsets.begin_apart().await?;
        groups::tell_due(tx.as_mut(), &kept_rules, bed.now()).await?;
        dispatcher.handle(&mut tx, std::slice::from_ref(&event), ()).await?;
        tx.commit().await?;
        events.push(event);
    }
    let (definitions, ledger) = (bed.store.defining.read().await?, ledger(&bed, &events).await?);
    for rule in all_rules() {
        let name = rule.name.clone();
        // As it is kept, which is its first version.
        let rule = rules::Rule::try_new(&Rule { version: 1, ..rule }).expect("a good rule");
        let rules = RuleSet::trial(rule, &definitions);
        let (mut trial, mut decisions, mut told) = (Trial::new(&rules), Decisions::default(), Vec::new());
        for event in &events {
            if let Some(tried) = trial.event(event, event.ingest_time) {
                decisions.add(tried.decision);
                told.extend(tried.told);
            }
        }
        let decided = decisions.all().iter().map(|one| (&one.id, one)).collect::<BTreeMap<_, _>>();
        let kept = ledger.iter().filter(|(_, one)| one.rule == name).collect::<BTreeMap<_, _>>();
        assert_eq!(decided, kept, "{name}");
        let filter = DeliveryFilter { rule: Some(name.clone()), ..DeliveryFilter::default() };
        let kept = bed.store.deliveries.list(&filter, None, 1_000).await?;
        assert!(!kept.is_empty(), "{name}");
        if name == TOGETHER {
            let tellings = decisions.all().iter().filter(|one| one.outcome == Outcome::Grouped);
            let tellings = tellings.filter_map(|one| one.because.clone()).collect::<BTreeSet<_>>();
            let kept = kept.into_iter().map(|one| one.told.decision).collect::<BTreeSet<_>>();
            // What was decided on last waits still.
            assert!(kept.len() > 5 && tellings.is_superset(&kept) && tellings.len() <= kept.len() + 1);
            continue;
        }
        let kept = kept.into_iter().rev().map(|one| (one.told.endpoint, one.told.message));
        let told = told.into_iter().map(|(endpoint, message)| (endpoint, message.encode_to_vec()));
        assert!(kept.eq(told), "{name} says something else");
    }
    let seen = ledger.values().map(|one| one.outcome.name()).collect::<BTreeSet<_>>();
    let all = ["deduplicated", "failed", "grouped", "muted", "sent", "silenced", "untold"];
    assert_eq!(seen, BTreeSet::from(all), "the events lead to all of them");
    Ok(())
}
