//! The laws of models, of scores, and of what is on its way into the log.

use std::time::Duration;

use cornjacket_domain::{Partitions, Sample, SeriesKey, Shard, Timestamp, Topic};

use super::fixtures::{clock, noon, snapshot};
use super::{Backend, laws};
use crate::{
    Change, ConsumerPartition, Draft, Mode, ModelId, Progress, SavedState, Score, SeriesId, Store, TimeRange,
    Turn, Tx, Word,
};

laws!(
    a_shards_turns_are_those_that_were_committed,
    versions_are_made_when_something_is_new,
    the_head_moves_with_every_change_and_with_nothing_else,
    what_becomes_active_makes_a_shadow_of_what_was,
    a_shard_notes_where_it_took_a_change,
    what_comes_late_notes_which_changes_it_met,
    a_transaction_knows_what_was_reached_before_it,
    a_persons_word_is_a_change_of_its_series_shard,
    states_are_overwritten_and_samples_since_are_in_order_of_position,
    scores_are_read_by_page_and_leave_with_their_day,
    what_was_sent_waits_in_order_until_it_has_arrived,
);

const SECOND: Duration = Duration::from_secs(1);

async fn begin(store: &Store) -> anyhow::Result<Box<dyn Tx>> {
    let at = ConsumerPartition { consumer: "law".into(), topic: "sensor-events", partition: 0 };
    let from = store.offsets.load(&at).await?;
    let to = Progress { next_offset: from.next_offset + 1, ..from };
    Ok(store.offsets.begin(&at, from, to).await?.expect("nobody else"))
}

/// A shard of measurements.
fn shard(partition: u16) -> Shard {
    Shard::at(Topic::SensorEvents, partition, Partitions::new(12).expect("above zero"))
}

fn draft(parameters: &str) -> Draft {
    Draft {
        name: "hot".into(),
        detector: "threshold".into(),
        code: "1".into(),
        subjects: "*".into(),
        metrics: "temp*".into(),
        parameters: parameters.into(),
    }
}

async fn a_shards_turns_are_those_that_were_committed(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    // One that never was is given again, to somebody else: whoever had it learns that from whose memory it was.
    for (partition, memory, commit, number, is_ours) in [
        (0, 7, true, 1, false),
        (0, 7, false, 2, true),
        (0, 8, true, 2, false),
        (1, 7, true, 1, false),
        (0, 7, true, 3, false),
        (0, 7, true, 4, true),
    ] {
        let mut tx = begin(&store).await?;
        assert_eq!(tx.turn(shard(partition), memory).await?, Turn { number, is_ours, controls: 0, head: 0 });
        if commit {
            tx.commit().await?;
        }
    }
    Ok(())
}

async fn versions_are_made_when_something_is_new(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let register =
        async |parameters: &str, by| store.models.register(&draft(parameters), Mode::Off, by, noon()).await;
    let first = register("{}", None).await?;
    assert_eq!((first.version, &first.draft), (1, &draft("{}")));
    assert_eq!(register("{}", None).await?, first, "the settings say the same again");
    assert_eq!(register("{}", Some("ann")).await?.version, 2, "an operator means it");
    assert_eq!(register(r#"{"a":1}"#, Some("ann")).await?.version, 3);
    assert_eq!(register("{}", None).await?, first, "the settings still say the same");
    let listed = store.models.list().await?;
    let listed: Vec<_> = listed.into_iter().map(|one| (one.model.version, one.mode, one.made_by)).collect();
    let ann = Some("ann".to_owned());
    assert_eq!(listed, [(1, Mode::Off, None), (2, Mode::Off, ann.clone()), (3, Mode::Off, ann)]);
    Ok(())
}

async fn the_head_moves_with_every_change_and_with_nothing_else(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let head = async || store.models.last_change().await;
    assert_eq!(head().await?, 0);
    let id = store.models.register(&draft(""), Mode::Active, None, noon()).await?.id;
    assert_eq!(head().await?, 1);
    store.models.set_mode(id, Mode::Active, None, noon()).await?;
    assert_eq!(head().await?, 1, "nothing has changed");
    store.models.set_mode(id, Mode::Off, None, noon()).await?;
    assert_eq!(head().await?, 2);
    let series = SeriesKey { subject: "pump".into(), metric: "temperature".into() };
    let (model, version, is_false_alarm, by) = ("hot", 1, true, None);
    let word = Word { series: &series, shard: shard(3), model, version, is_false_alarm, by, now: noon() };
    let mut tx = begin(&store).await?;
    tx.series(&[(&series, "Cel")]).await?;
    assert!(tx.take_word(&word).await?);
    assert_eq!(head().await?, 2, "it is not said yet");
    tx.commit().await?;
    assert_eq!(head().await?, 3);
    Ok(())
}

async fn what_becomes_active_makes_a_shadow_of_what_was(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    assert_eq!(store.models.last_change().await?, 0);
    let mut ids = Vec::new();
    for version in 0..3 {
        let draft = draft(&version.to_string());
        ids.push(store.models.register(&draft, Mode::Off, Some("ann"), noon()).await?.id);
    }
    let other = Draft { name: "other".into(), ..draft("") };
    let other = store.models.register(&other, Mode::Active, None, noon()).await?.id;
    let set = async |id, mode| store.models.set_mode(id, mode, Some("ann"), noon()).await;
    set(ids[0], Mode::Active).await?;
    set(ids[0], Mode::Active).await?;
    set(ids[1], Mode::Active).await?;
    set(ids[2], Mode::Shadow).await?;
    set(ids[0], Mode::Off).await?;
    let list = async || {
        let listed = store.models.list().await?;
        anyhow::Ok(listed.into_iter().map(|one| (one.model.id, one.mode, one.off)).collect::<Vec<_>>())
    };
    let mut modes = [
        (ids[0], Mode::Off, 6),
        (ids[1], Mode::Active, 0),
        (ids[2], Mode::Shadow, 0),
        (other, Mode::Active, 0),
    ];
    assert_eq!(list().await?, modes);
    let mut tx = begin(&store).await?;
    let controls = tx.controls(shard(0), 0, 0).await?;
    let said: Vec<_> = controls.iter().map(|one| (one.seq, one.model.id, one.change)).collect();
    let mode = Change::Mode;
    let expected = [
        (1, other, mode(Mode::Active)),
        (2, ids[0], mode(Mode::Active)),
        (3, ids[0], mode(Mode::Shadow)),
        (4, ids[1], mode(Mode::Active)),
        (5, ids[2], mode(Mode::Shadow)),
        (6, ids[0], mode(Mode::Off)),
    ];
    assert_eq!(said, expected, "what changes nothing is no change");
    assert_eq!(tx.controls(shard(0), 5, 0).await?, controls[5..]);
    assert_eq!(controls[1].model.draft, draft("0"));
    drop(tx);
    set(ids[0], Mode::Shadow).await?;
    modes[0].1 = Mode::Shadow;
    assert_eq!(list().await?, modes, "that it was off is known for ever");
    assert_eq!(store.models.last_change().await?, 7);
    Ok(())
}

async fn a_persons_word_is_a_change_of_its_series_shard(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let model = store.models.register(&draft(""), Mode::Active, None, noon()).await?;
    let series = SeriesKey { subject: "pump".into(), metric: "temperature".into() };
    let word = Word {
        series: &series,
        shard: shard(3),
        model: "hot",
        version: 1,
        is_false_alarm: true,
        by: Some("ann"),
        now: noon(),
    };
    let mut tx = begin(&store).await?;
    assert!(!tx.take_word(&word).await?, "there is no such series");
    let id = tx.series(&[(&series, "Cel")]).await?[0];
    assert!(!tx.take_word(&Word { version: 2, ..word }).await?, "there is no such version");
    assert!(tx.take_word(&word).await?);
    tx.commit().await?;
    let mut tx = begin(&store).await?;
    assert!(tx.take_word(&Word { is_false_alarm: false, ..word }).await?);
    drop(tx);
    let mut tx = begin(&store).await?;
    assert!(tx.take_word(&Word { is_false_alarm: false, ..word }).await?);
    let words = tx.controls(shard(3), 1, 1).await?;
    let said: Vec<_> = words.iter().map(|one| (one.seq, one.model.id, one.change)).collect();
    assert_eq!(said, [(2, model.id, Change::FalseAlarm(id)), (3, model.id, Change::Missed(id))]);
    let namesake = Shard::at(Topic::SystemEvents, 3, Partitions::new(12).expect("above zero"));
    for other in [shard(4), namesake] {
        assert!(tx.controls(other, 1, 1).await?.is_empty(), "of another shard than {other:?}");
    }
    Ok(())
}

async fn a_shard_notes_where_it_took_a_change(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let id = store.models.register(&draft(""), Mode::Active, None, noon()).await?.id;
    for mode in [Mode::Shadow, Mode::Off] {
        store.models.set_mode(id, mode, None, noon()).await?;
    }
    let mut tx = begin(&store).await?;
    assert_eq!(tx.turn(shard(4), 1).await?, Turn { number: 1, is_ours: false, controls: 0, head: 3 });
    tx.took_controls(shard(4), 2, 17).await?;
    tx.commit().await?;
    let mut tx = begin(&store).await?;
    assert_eq!(tx.turn(shard(4), 1).await?, Turn { number: 2, is_ours: true, controls: 2, head: 3 });
    tx.took_controls(shard(4), 3, 18).await?;
    assert_eq!(tx.turn(shard(4), 1).await?.controls, 3);
    assert_eq!(tx.turn(shard(5), 1).await?.controls, 0, "another shard");
    tx.commit().await?;
    let taken = snapshot(&store).await?.taken(shard(4), "pump").await?;
    let places: Vec<_> =
        taken.iter().map(|one| (one.after_position, one.control.seq, one.control.change)).collect();
    let expected = [(17, 1, Mode::Active), (17, 2, Mode::Shadow), (18, 3, Mode::Off)];
    assert_eq!(places, expected.map(|(after, seq, mode)| (after, seq, Change::Mode(mode))));
    assert_eq!((taken[0].control.model.id, &taken[0].control.model.draft), (id, &draft("")));
    let namesake = Shard::at(Topic::SystemEvents, 4, Partitions::new(12).expect("above zero"));
    for other in [shard(5), namesake] {
        assert!(
            snapshot(&store).await?.taken(other, "pump").await?.is_empty(),
            "{other:?} has taken nothing"
        );
    }
    Ok(())
}

async fn what_comes_late_notes_which_changes_it_met(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let id = store.models.register(&draft(""), Mode::Active, None, noon()).await?.id;
    for mode in [Mode::Shadow, Mode::Active, Mode::Off] {
        store.models.set_mode(id, mode, None, noon()).await?;
    }
    let mut tx = begin(&store).await?;
    for (through, after_position) in [(2, 20), (3, 30), (4, 40)] {
        tx.turn(shard(4), 1).await?;
        tx.took_controls(shard(4), through, after_position).await?;
    }
    // The second and the last say nothing that the marks of the shard do not say.
    for (subject, through, after_position) in
        [("pump", 3, 10), ("pump", 3, 12), ("valve", 2, 20), ("valve", 4, 25), ("lamp", 4, 40)]
    {
        tx.took_late(shard(4), subject, through, after_position).await?;
    }
    tx.commit().await?;
    for (subject, expected) in [
        ("pump", [10, 10, 10, 40]),
        ("valve", [20, 20, 25, 25]),
        ("lamp", [20, 20, 30, 40]),
        ("anybody", [20, 20, 30, 40]),
    ] {
        let taken = snapshot(&store).await?.taken(shard(4), subject).await?;
        let places: Vec<_> = taken.iter().map(|one| one.after_position).collect();
        assert_eq!(places, expected, "{subject}");
    }
    Ok(())
}

async fn a_transaction_knows_what_was_reached_before_it(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let at = ConsumerPartition { consumer: "law".into(), topic: "sensor-events", partition: 0 };
    let there = Progress { next_offset: 8, last_position: 17 };
    let begin = async |from, to| anyhow::Ok(store.offsets.begin(&at, from, to).await?.expect("nobody else"));
    let tx = begin(Progress::default(), there).await?;
    assert_eq!(tx.reached(), 0);
    tx.commit().await?;
    assert_eq!(begin(there, there).await?.reached(), 17, "what was parked is tried again");
    assert_eq!(store.offsets.begin_apart().await?.reached(), 0);
    Ok(())
}

async fn states_are_overwritten_and_samples_since_are_in_order_of_position(
    backend: Backend,
) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let mut tx = begin(&store).await?;
    let keys: Vec<_> = (0..70).map(|n| SeriesKey { subject: format!("p{n}"), metric: "x".into() }).collect();
    let ids = tx.series(&keys.iter().map(|key| (key, "")).collect::<Vec<_>>()).await?;
    let model = ModelId(7);
    let state = |position, text: &str| SavedState { since: 1, last: (noon(), position), state: text.into() };
    let states: Vec<_> =
        ids.iter().zip(1..).map(|(id, position)| ((*id, model), state(position, "old"))).collect();
    tx.save_detectors(&states).await?;
    tx.save_detectors(&[((ids[3], model), state(900, "new"))]).await?;
    let wanted: Vec<_> = ids.iter().map(|id| (*id, model)).chain([(ids[0], ModelId(-1))]).collect();
    let loaded = tx.load_detectors(&wanted).await?;
    assert_eq!(loaded.len(), 70);
    assert_eq!(loaded[&(ids[2], model)], state(3, "old"));
    assert_eq!(loaded[&(ids[3], model)], state(900, "new"));

    let sample = |seconds: u32, position| Sample { time: noon() + SECOND * seconds, position, value: 0.5 };
    // The third came late, and the last is at the mark.
    let of = [sample(2, 10), sample(5, 11), sample(3, 12), sample(0, 9), sample(0, 8)];
    tx.add_samples(&of.map(|sample| (ids[0], sample))).await?;
    tx.add_samples(&[(ids[1], sample(1, 13))]).await?;
    let marks = [(ids[0], (noon(), 8)), (ids[1], (noon() + SECOND, 13)), (ids[2], (noon(), 0))];
    let since = tx.samples_since(&marks, 14).await?;
    assert_eq!(since.len(), 1, "of the others there is nothing later");
    assert_eq!(since[&ids[0]], [of[3], of[0], of[1], of[2]]);
    assert_eq!(tx.samples_since(&marks, 12).await?[&ids[0]], [of[3], of[0], of[1]]);
    assert!(tx.samples_since(&[], 14).await?.is_empty());
    Ok(())
}

async fn scores_are_read_by_page_and_leave_with_their_day(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let mut tx = begin(&store).await?;
    let key = SeriesKey { subject: "p".into(), metric: "x".into() };
    let id = tx.series(&[(&key, "")]).await?[0];
    let made = |days: u32, position, model| Score {
        series: id,
        time: noon() - Duration::from_hours(24) * days,
        position,
        model: ModelId(model),
        score: Some(0.25),
        expected: Some([1.0, 0.5, 1.5]),
        severity: None,
        unscored: None,
    };
    let plain = Score { score: None, expected: None, unscored: Some("timed out".into()), ..made(0, 5, 3) };
    let scores = [made(3, 1, 1), made(0, 4, 1), Score { severity: Some(2), ..made(0, 4, 2) }, plain];
    let samples = [made(3, 1, 1), made(0, 4, 1), made(0, 5, 1)];
    let sample = |of: Score| (id, Sample { time: of.time, position: of.position, value: 1.0 });
    tx.add_samples(&samples.map(sample)).await?;
    tx.add_scores(&scores).await?;
    tx.commit().await?;
    let always = TimeRange { start: Timestamp::from_micros(0), end: noon() + SECOND };
    let read =
        async |after, limit| anyhow::Ok(snapshot(&store).await?.scores(id, always, after, limit).await?);
    assert_eq!(read(None, 10).await?, scores);
    assert_eq!(read(Some(scores[0].place()), 2).await?, scores[1..3]);
    assert_eq!(read(Some(scores[1].place()), 1).await?, scores[2..3], "another model's, of the same sample");
    assert!(snapshot(&store).await?.scores(SeriesId(-1), always, None, 9).await?.is_empty());
    let found = async |models: &[i32], after| {
        let models: Vec<ModelId> = models.iter().copied().map(ModelId).collect();
        anyhow::Ok(snapshot(&store).await?.findings(id, &models, always, after, 10).await?)
    };
    assert_eq!(found(&[3, 2, 1], None).await?, scores[2..3], "only those with which an anomaly begins");
    assert!(found(&[2], Some(scores[2].place())).await?.is_empty());
    assert!(found(&[1, 3], None).await?.is_empty() && found(&[], None).await?.is_empty(), "of others");
    store.series_retention.age(noon(), noon()).await?;
    assert_eq!(read(None, 10).await?, scores[1..]);
    Ok(())
}

async fn what_was_sent_waits_in_order_until_it_has_arrived(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let mut watch = store.outbox.watch();
    let events: Vec<Vec<u8>> = (0..100_u8).map(|number| vec![number; 3]).collect();
    let mut tx = begin(&store).await?;
    tx.send(&events[..1]).await?;
    drop(tx);
    assert!(!watch.has_changed()?, "it never was");
    let mut tx = begin(&store).await?;
    tx.send(&events).await?;
    assert!(!watch.has_changed()?, "not yet");
    tx.commit().await?;
    assert!(watch.has_changed()?);
    watch.mark_unchanged();
    begin(&store).await?.commit().await?;
    assert!(!watch.has_changed()?, "nothing was sent");
    let waiting = store.outbox.waiting(99).await?;
    assert_eq!(waiting.iter().map(|(_, event)| event.clone()).collect::<Vec<_>>(), events[..99]);
    store.outbox.arrived(&waiting.iter().map(|(number, _)| *number).collect::<Vec<_>>()).await?;
    let left = store.outbox.waiting(99).await?;
    assert_eq!((left.len(), &left[0].1), (1, &events[99]));
    Ok(())
}
