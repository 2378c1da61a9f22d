//! The laws of active times, on both stores: outside of them nothing is told, and nothing is forgotten.

use std::time::Duration;

use cornjacket_bus::{Delivered, Handler};
use cornjacket_domain::Timestamp;
use cornjacket_proto::actions::active_times::TimeRange;
use cornjacket_proto::actions::{ActiveTimes, AlarmRule, Rule, Severity, Template};
use cornjacket_proto::events::attribute_value::Value;
use cornjacket_proto::events::{AttributeValue, Event};
use cornjacket_store::{DeliveryFilter, Outcome};
use prost::Message as _;

use crate::deliverer::laws::bed::{Bed, MINUTE, SECOND, endpoint};
use crate::deliverer::laws::laws;
use crate::dispatcher::Dispatcher;
use crate::{AlarmChange, Message};

laws!(
    what_is_decided_on_outside_of_the_active_times_is_muted,
    an_alarm_that_is_raised_muted_is_told_with_the_first_event_that_may_be,
    that_it_matters_more_is_told_with_the_first_event_that_may_be,
    that_it_is_over_is_told_whatever_its_words_are_for,
);

/// Tests begin at 22:13:20 on a Tuesday, UTC, which is 23:13:20 in Berlin.
const QUARTER_PAST: Duration = Duration::from_secs(100);

/// A rule that tells from a quarter past eleven at night until seven in the morning, by the clocks of Berlin.
fn at_night(name: &str) -> Rule {
    let night = TimeRange { start: "23:15".into(), end: "07:00".into(), ..TimeRange::default() };
    Rule {
        name: name.into(),
        types: vec!["machine.*".into()],
        endpoints: vec!["pager".into()],
        active_times: Some(ActiveTimes { time_zone: "Europe/Berlin".into(), ranges: vec![night] }),
        ..Rule::default()
    }
}

/// An event that was stored at that time.
fn event(position: u64, event_type: &str, stored: Timestamp) -> Delivered {
    let event = Event {
        id: position.to_string(),
        source: "plant".into(),
        r#type: event_type.into(),
        subject: "pump-7".into(),
        position,
        ..Event::default()
    };
    Delivered { offset: position, ingest_time: stored, event }
}

/// Decides now: the outcome, and why.
async fn decide(bed: &Bed, event: Delivered) -> anyhow::Result<Vec<(Outcome, String)>> {
    let mut tx = bed.store.offsets.begin_apart().await?;
    Dispatcher::new(bed.clock.clone()).handle(&mut tx, std::slice::from_ref(&event), ()).await?;
    tx.commit().await?;
    let decisions = bed.decisions(&event.event).await?;
    Ok(decisions.into_iter().map(|one| (one.outcome, one.reason)).collect())
}

/// What is told of alarms, in order.
async fn told(bed: &Bed) -> anyhow::Result<Vec<AlarmChange>> {
    let told = bed.store.deliveries.list(&DeliveryFilter::default(), None, 100).await?;
    let change = |bytes: &[u8]| anyhow::Ok(AlarmChange::try_from(Message::decode(bytes)?.alarm_change)?);
    told.iter().rev().map(|one| change(&one.told.message)).collect()
}

async fn what_is_decided_on_outside_of_the_active_times_is_muted(bed: Bed) -> anyhow::Result<()> {
    bed.define(&endpoint("pager")).await?;
    bed.rule(&at_night("night")).await?;
    let early = bed.now();
    let muted = decide(&bed, event(1, "machine.stopped", early)).await?;
    let reason =
        "it was Tuesday 2023-11-14 23:13 in Europe/Berlin, which is not among the rule's active times";
    assert_eq!(muted, [(Outcome::Muted, reason.to_owned())]);
    assert_eq!(told(&bed).await?, []);
    // By the clock and not by when it was stored; and what was muted has begun no window.
    bed.clock.advance(QUARTER_PAST);
    let sent = decide(&bed, event(2, "machine.stopped", early)).await?;
    assert_eq!(sent, [(Outcome::Sent, String::new())]);
    assert_eq!(told(&bed).await?.len(), 1);
    Ok(())
}

async fn an_alarm_that_is_raised_muted_is_told_with_the_first_event_that_may_be(
    bed: Bed,
) -> anyhow::Result<()> {
    bed.define(&endpoint("pager")).await?;
    let alarm =
        AlarmRule { clear_condition: "event.type == 'machine.started'".into(), ..AlarmRule::default() };
    let condition = "event.type == 'machine.stopped'".into();
    bed.rule(&Rule { alarm: Some(alarm), condition, ..at_night("lasting") }).await?;
    let outcome = async |position, event_type| {
        bed.clock.advance(SECOND);
        let decided = decide(&bed, event(position, event_type, bed.now())).await?;
        anyhow::Ok(decided.into_iter().map(|(outcome, _)| outcome).collect::<Vec<_>>())
    };
    // Nobody was told that it began, and nobody is told that it is over.
    assert_eq!(outcome(1, "machine.stopped").await?, [Outcome::Muted]);
    assert_eq!(outcome(2, "machine.started").await?, [Outcome::Untold]);
    assert_eq!(outcome(3, "machine.stopped").await?, [Outcome::Muted]);
    let [lasting] = bed.store.alarms.list(None, "", 10).await?.try_into().expect("one alarm");
    assert_eq!((lasting.told, lasting.raised_count), (false, 2), "it lasts all the same");

    bed.clock.advance(QUARTER_PAST);
    assert_eq!(outcome(4, "machine.stopped").await?, [Outcome::Sent]);
    assert_eq!(outcome(5, "machine.stopped").await?, [Outcome::Deduplicated]);
    // That it is over is told at any time.
    bed.clock.advance(8 * 60 * MINUTE);
    assert_eq!(outcome(6, "machine.started").await?, [Outcome::Sent]);
    assert_eq!(told(&bed).await?, [AlarmChange::Raised, AlarmChange::Cleared]);
    Ok(())
}

async fn that_it_matters_more_is_told_with_the_first_event_that_may_be(bed: Bed) -> anyhow::Result<()> {
    bed.define(&endpoint("pager")).await?;
    let alarm = || Some(AlarmRule { key: "the pump".into(), ..AlarmRule::default() });
    let warns = Rule {
        types: vec!["machine.slow".into()],
        severity: Severity::Warning.into(),
        active_times: None,
        alarm: alarm(),
        ..at_night("warns")
    };
    let calls = Rule {
        types: vec!["machine.stopped".into()],
        severity: Severity::Critical.into(),
        alarm: alarm(),
        ..at_night("calls")
    };
    bed.rule(&warns).await?;
    bed.rule(&calls).await?;
    let early = bed.now();
    decide(&bed, event(1, "machine.slow", early)).await?;
    let muted = decide(&bed, event(2, "machine.stopped", early)).await?;
    assert_eq!(muted[0].0, Outcome::Muted);
    assert_eq!(told(&bed).await?, [AlarmChange::Raised]);
    bed.clock.advance(QUARTER_PAST);
    decide(&bed, event(3, "machine.stopped", bed.now())).await?;
    assert_eq!(told(&bed).await?, [AlarmChange::Raised, AlarmChange::SeverityChanged]);
    Ok(())
}

async fn that_it_is_over_is_told_whatever_its_words_are_for(bed: Bed) -> anyhow::Result<()> {
    bed.define(&endpoint("pager")).await?;
    let words = "{{ event.attributes['level'].integer | round }}".to_owned();
    let level = Value::Integer(7);
    let stopped = Rule {
        types: vec!["machine.*".into()],
        condition: "event.type == 'machine.stopped'".into(),
        active_times: None,
        template: Some(Template { title: words, text: String::new() }),
        alarm: Some(AlarmRule {
            key: "the pump".into(),
            clear_condition: "event.type == 'machine.runs'".into(),
        }),
        ..at_night("stopped")
    };
    bed.rule(&stopped).await?;
    let mut raises = event(1, "machine.stopped", bed.now());
    raises.event.attributes = [("level".to_owned(), AttributeValue { value: Some(level) })].into();
    decide(&bed, raises).await?;
    let over = decide(&bed, event(2, "machine.runs", bed.now())).await?;
    assert_eq!(over[0].0, Outcome::Sent, "{over:?}");
    assert_eq!(told(&bed).await?, [AlarmChange::Raised, AlarmChange::Cleared]);
    Ok(())
}
