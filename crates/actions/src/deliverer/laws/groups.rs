//! What falls into one group is told together: once, when its time has come, by whichever process, over every restart.

use cornjacket_domain::Timestamp;
use cornjacket_proto::actions::active_times::TimeRange;
use cornjacket_proto::actions::{ActiveTimes, AlarmRule, Grouping, Rule, Severity, Silence, silence};
use cornjacket_proto::events::Event;
use cornjacket_proto::events::event::Payload;
use cornjacket_store::{Decision, DefinitionKind, DeliveryFilter, Outcome};
use prost::Message as _;

use super::bed::{Bed, MINUTE, SECOND, endpoint};
use super::laws;
use crate::breaker::Answer;
use crate::{AlarmChange, Message, alarms};

laws!(
    what_falls_into_one_group_is_told_once_when_it_has_waited,
    one_alone_is_told_as_it_is,
    a_group_of_alarms_is_one_that_is_told_again_while_one_lasts,
    what_is_silenced_or_taken_on_is_not_told_again,
    outside_of_its_active_times_a_rule_tells_nothing_again,
    a_group_whose_rule_has_none_any_more_ends_as_it_began,
    what_waits_for_nobody_is_told_to_nobody,
    of_many_that_last_it_is_said_how_many_they_are,
);

const fn seconds(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

fn rule(grouping: Grouping) -> Rule {
    Rule {
        name: "hot".into(),
        types: vec!["sensor.reading".into()],
        severity: Severity::Warning.into(),
        endpoints: vec!["pager".into(), "chat".into()],
        grouping: Some(grouping),
        ..Rule::default()
    }
}

async fn begin(bed: &Bed, rule: &Rule) -> anyhow::Result<()> {
    bed.define(&endpoint("pager")).await?;
    bed.define(&endpoint("chat")).await?;
    bed.rule(rule).await
}

fn event(position: u64, source: &str, subject: &str) -> Event {
    Event {
        id: format!("event-{position}"),
        source: source.into(),
        r#type: "sensor.reading".into(),
        subject: subject.into(),
        position,
        ..Event::default()
    }
}

/// What was decided on an event by the one rule.
async fn decision(bed: &Bed, event: &Event) -> anyhow::Result<Decision> {
    Ok(bed.decisions(event).await?.pop().expect("something was decided"))
}

/// What the pager was told of so far, with when.
async fn told(bed: &Bed) -> anyhow::Result<Vec<(Timestamp, String, Message)>> {
    let filter = DeliveryFilter { endpoint: Some("pager".into()), ..DeliveryFilter::default() };
    let mut all = bed.store.deliveries.list(&filter, None, 100).await?;
    all.reverse();
    let message = |one: cornjacket_store::Delivery| {
        let message = Message::decode(one.told.message.as_slice())?;
        Ok((one.told.now, one.told.decision, message))
    };
    all.into_iter().map(message).collect()
}

/// The ids of the events that a message of several names, and how many there are.
fn named(message: &Message) -> (Vec<String>, String) {
    let Some(Event { payload: Some(Payload::Struct(said)), .. }) = &message.event else {
        panic!("{message:?} is of one event")
    };
    let field = |said: &prost_types::Struct, name: &str| said.fields[name].kind.clone();
    let (
        Some(prost_types::value::Kind::ListValue(events)),
        Some(prost_types::value::Kind::NumberValue(count)),
    ) = (field(said, "events"), field(said, "count"))
    else {
        panic!("{said:?}")
    };
    let id = |one: &prost_types::Value| match &one.kind {
        Some(prost_types::value::Kind::StructValue(item)) => match field(item, "id") {
            Some(prost_types::value::Kind::StringValue(id)) => id,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    (events.values.iter().map(id).collect(), count.to_string())
}

async fn what_falls_into_one_group_is_told_once_when_it_has_waited(bed: Bed) -> anyhow::Result<()> {
    begin(&bed, &rule(Grouping { key: "{{ event.source }}".into(), ..Grouping::default() })).await?;
    let began = bed.now();
    let all: Vec<Event> = (1..=70).map(|number| event(number, "line-1", &format!("pump-{number}"))).collect();
    bed.decide(&all[..2]).await?;
    bed.decide(&[event(90, "line-2", "pump-90"), event(91, "line-2", "pump-91")]).await?;
    let mut desks = [bed.desk(None)?, bed.desk(None)?];
    assert_eq!(bed.run(&mut desks, began + SECOND * 20, |_| Answer::Good).await?, []);
    bed.decide(&all[2..60]).await?;
    // It repeats the first: that is no more to tell.
    let again = event(80, "line-1", "pump-1");
    bed.decide(std::slice::from_ref(&again)).await?;
    drop(desks);
    let bed = bed.restart().await?;
    let mut desks = [bed.desk(None)?, bed.desk(None)?];
    let sent = bed.run(&mut desks, began + MINUTE, |_| Answer::Good).await?;
    assert_eq!(sent.len(), 4, "two groups, two endpoints: {sent:?}");
    assert!(sent.iter().all(|one| one.at == began + SECOND * 30), "{sent:?}");
    let first = told(&bed).await?;
    let [(_, telling, message), (_, _, other)] = &first[..] else { panic!("{first:?}") };
    let (ids, count) = named(message);
    assert_eq!((ids.len(), count), (50, "60".to_owned()), "the first of them are named");
    assert_eq!(ids[..2], ["event-1", "event-2"]);
    assert!(message.title.ends_with("(and 59 more)"), "{}", message.title);
    assert!(message.text.ends_with("- and 10 more"), "{}", message.text);
    assert_eq!(named(other).0, ["event-90", "event-91"]);
    for one in &all[..60] {
        let decided = decision(&bed, one).await?;
        assert_eq!((decided.outcome, decided.because.as_ref()), (Outcome::Grouped, Some(telling)));
    }
    assert_eq!(decision(&bed, &again).await?.outcome, Outcome::Deduplicated);

    // More of it waits until the interval is over.
    bed.decide(&all[60..]).await?;
    let sent = bed.run(&mut desks, began + MINUTE * 10, |_| Answer::Good).await?;
    assert_eq!(sent.iter().map(|one| one.at).collect::<Vec<_>>(), [began + SECOND * 330; 2]);
    assert_eq!(named(&told(&bed).await?[2].2).1, "10");
    // And long after it no longer.
    bed.clock.advance(MINUTE * 60);
    bed.decide(&[event(200, "line-1", "pump-200"), event(201, "line-1", "pump-201")]).await?;
    let now = bed.now();
    let sent = bed.run(&mut desks, now + MINUTE, |_| Answer::Good).await?;
    assert_eq!(sent.iter().map(|one| one.at).collect::<Vec<_>>(), [now + SECOND * 30; 2]);
    Ok(())
}

async fn one_alone_is_told_as_it_is(bed: Bed) -> anyhow::Result<()> {
    begin(&bed, &rule(Grouping { wait: Some(seconds(0)), ..Grouping::default() })).await?;
    let (began, alone) = (bed.now(), event(1, "line-1", "pump-1"));
    bed.decide(std::slice::from_ref(&alone)).await?;
    let mut desks = [bed.desk(None)?];
    let sent = bed.run(&mut desks, bed.now() + SECOND, |_| Answer::Good).await?;
    assert_eq!(sent.iter().map(|one| one.at).collect::<Vec<_>>(), [began; 2]);
    let (_, _, message) = told(&bed).await?.pop().expect("it is told");
    assert_eq!(message.event, Some(alone));
    assert_eq!(message.alarm_key, "");
    // Those that are in its way it has only its rule in common with.
    let sent: Vec<_> = (2..4).map(|number| event(number, "line-9", &format!("pump-{number}"))).collect();
    bed.decide(&sent).await?;
    bed.run(&mut desks, bed.now() + MINUTE * 6, |_| Answer::Good).await?;
    assert_eq!(named(&told(&bed).await?[1].2).0, ["event-2", "event-3"]);
    Ok(())
}

fn alarms(repeat: i64) -> Rule {
    let repeat = Some(seconds(repeat));
    let alarm = AlarmRule { key: String::new(), clear_condition: "event.source == 'well'".into() };
    Rule {
        condition: "event.source != 'well'".into(),
        alarm: Some(alarm),
        ..rule(Grouping {
            wait: Some(seconds(10)),
            interval: Some(seconds(60)),
            repeat,
            ..Grouping::default()
        })
    }
}

fn changes(told: &[(Timestamp, String, Message)]) -> Vec<(AlarmChange, &str)> {
    told.iter().map(|(_, _, one)| (one.alarm_change(), one.alarm_key.as_str())).collect()
}

async fn a_group_of_alarms_is_one_that_is_told_again_while_one_lasts(bed: Bed) -> anyhow::Result<()> {
    begin(&bed, &alarms(600)).await?;
    let began = bed.now();
    let mut desks = [bed.desk(None)?, bed.desk(None)?];
    bed.decide(&[event(1, "sensors", "pump-1"), event(2, "sensors", "pump-2")]).await?;
    // Not one of them is new.
    bed.decide(&[event(3, "sensors", "pump-1")]).await?;
    bed.run(&mut desks, began + MINUTE, |_| Answer::Good).await?;
    let first = told(&bed).await?;
    assert_eq!(changes(&first), [(AlarmChange::Raised, "group/hot")]);
    assert_eq!(named(&first[0].2).0, ["event-1", "event-2"]);
    assert_eq!(first[0].0, began + SECOND * 10);

    // Both last, and are told again, twice; in between one is over.
    bed.run(&mut desks, began + SECOND * 615, |_| Answer::Good).await?;
    bed.decide(&[event(4, "well", "pump-1")]).await?;
    bed.run(&mut desks, began + SECOND * 1_400, |_| Answer::Good).await?;
    let all = told(&bed).await?;
    let times: Vec<u64> =
        all.iter().map(|(at, _, _)| at.as_micros().abs_diff(began.as_micros()) / 1_000_000).collect();
    assert_eq!(times, [10, 610, 670, 1_270], "told, told again, told what is over, and again");
    assert!(changes(&all).iter().all(|(change, _)| *change == AlarmChange::Raised), "one lasts");
    assert_eq!(named(&all[1].2).0, ["event-1", "event-2"]);
    assert!(all[3].2.event.as_ref().is_some_and(|event| event.subject == "pump-2"), "one alone, as it is");

    bed.decide(&[event(5, "well", "pump-2")]).await?;
    bed.run(&mut desks, began + MINUTE * 60, |_| Answer::Good).await?;
    let all = told(&bed).await?;
    assert_eq!(all.len(), 5, "nothing lasts: nothing is told again");
    assert_eq!(changes(&all)[4], (AlarmChange::Cleared, "group/hot"));
    assert_eq!(bed.store.deliveries.next_due(began).await?, None);
    Ok(())
}

async fn what_is_silenced_or_taken_on_is_not_told_again(bed: Bed) -> anyhow::Result<()> {
    begin(&bed, &alarms(600)).await?;
    let began = bed.now();
    let mut desks = [bed.desk(None)?];
    bed.decide(&[event(1, "sensors", "pump-1"), event(2, "sensors", "pump-2")]).await?;
    bed.run(&mut desks, began + MINUTE, |_| Answer::Good).await?;
    let matcher = silence::Matcher {
        field: silence::matcher::Field::Subject.into(),
        pattern: "pump-1".into(),
        negated: false,
    };
    let silence = Silence {
        name: "service".into(),
        matchers: vec![matcher],
        end_time: Some((began + MINUTE * 15).to_proto()),
        comment: "somebody is at it".into(),
        ..Silence::default()
    };
    bed.silence(&silence).await?;
    let mut tx = bed.store.offsets.begin_apart().await?;
    let found = tx.lock_alarms(&["hot/pump-2".to_owned()]).await?;
    let taken = alarms::acknowledge(&found["hot/pump-2"], Some("ann"), bed.now()).expect("it is open");
    tx.put_alarms(&[taken]).await?;
    tx.commit().await?;
    // Ten minutes later one is silenced and somebody sees to the other; after ten more the silence is over.
    bed.run(&mut desks, began + MINUTE * 25, |_| Answer::Good).await?;
    let all = told(&bed).await?;
    assert_eq!(all.len(), 2, "{all:?}");
    assert_eq!(all[1].0, began + SECOND * 1_210);
    assert!(all[1].2.event.as_ref().is_some_and(|event| event.subject == "pump-1"));
    Ok(())
}

async fn outside_of_its_active_times_a_rule_tells_nothing_again(bed: Bed) -> anyhow::Result<()> {
    // Laws begin at 22:13:20, UTC.
    let evening = TimeRange { start: "20:00".into(), end: "22:20".into(), ..TimeRange::default() };
    let active_times = Some(ActiveTimes { ranges: vec![evening], ..ActiveTimes::default() });
    begin(&bed, &Rule { active_times, ..alarms(120) }).await?;
    let began = bed.now();
    bed.decide(&[event(1, "sensors", "pump-1")]).await?;
    bed.run(&mut [bed.desk(None)?], began + MINUTE * 60, |_| Answer::Good).await?;
    assert_eq!(told(&bed).await?.len(), 4, "told, and told again until 22:20");
    Ok(())
}

async fn a_group_whose_rule_has_none_any_more_ends_as_it_began(bed: Bed) -> anyhow::Result<()> {
    let rule = alarms(600);
    begin(&bed, &rule).await?;
    let began = bed.now();
    let mut desks = [bed.desk(None)?];
    bed.decide(&[event(1, "sensors", "pump-1")]).await?;
    bed.run(&mut desks, began + MINUTE, |_| Answer::Good).await?;
    bed.rule(&Rule { grouping: None, ..rule }).await?;
    bed.decide(&[event(2, "well", "pump-1")]).await?;
    bed.run(&mut desks, began + MINUTE * 60, |_| Answer::Good).await?;
    let all = told(&bed).await?;
    let ended = [(AlarmChange::Raised, "group/hot"), (AlarmChange::Cleared, "group/hot")];
    assert_eq!(changes(&all), ended);
    // It tells each event from now on, and none of it is the end of anything.
    bed.rule(&self::rule(Grouping::default())).await?;
    bed.decide(&[event(3, "line-1", "pump-3")]).await?;
    bed.run(&mut desks, bed.now() + MINUTE, |_| Answer::Good).await?;
    assert_eq!(changes(&told(&bed).await?)[2..], [(AlarmChange::None, "")]);
    Ok(())
}

async fn what_waits_for_nobody_is_told_to_nobody(bed: Bed) -> anyhow::Result<()> {
    begin(&bed, &rule(Grouping::default())).await?;
    bed.decide(&[event(1, "line-1", "pump-1")]).await?;
    bed.redefine(DefinitionKind::Rule, "hot", None).await?;
    bed.end("pager").await?;
    let mut desks = [bed.desk(None)?];
    let sent = bed.run(&mut desks, bed.now() + MINUTE, |_| Answer::Good).await?;
    assert_eq!(sent.len(), 1, "the other endpoint is there: {sent:?}");
    assert_eq!(told(&bed).await?.len(), 0);
    Ok(())
}

async fn of_many_that_last_it_is_said_how_many_they_are(bed: Bed) -> anyhow::Result<()> {
    begin(&bed, &alarms(600)).await?;
    let all: Vec<Event> =
        (1..=70).map(|number| event(number, "sensors", &format!("pump-{number}"))).collect();
    bed.decide(&all).await?;
    let mut desks = [bed.desk(None)?];
    bed.run(&mut desks, bed.now() + MINUTE * 11, |_| Answer::Good).await?;
    let all = told(&bed).await?;
    assert_eq!(all.len(), 2);
    for (_, _, message) in all {
        assert_eq!((named(&message).0.len(), named(&message).1), (50, "70".to_owned()));
    }
    Ok(())
}
