use std::sync::Arc;
use std::time::Duration;

use cornjacket_domain::clock::ManualClock;
use cornjacket_domain::{Clock, Event, Limits};
use cornjacket_proto::events as proto;
use cornjacket_store::{Options, Progress, Store};

use super::*;

const DAY: Duration = Duration::from_hours(24);

fn noon() -> Timestamp {
    Timestamp::from_day(20_000) + DAY / 2
}

/// One event a day, of types in turn, from noon on.
async fn log(types: &[&str]) -> anyhow::Result<(tempfile::TempDir, Store)> {
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite://{}", folder.path().join("cornjacket.db").display());
    let clock = Arc::new(ManualClock::at(noon()));
    let store = Store::open(&Options::new(url, Partitions::ONE), clock.clone()).await?;
    for (number, event_type) in types.iter().enumerate() {
        let event = proto::Event {
            id: number.to_string(),
            source: "unread".into(),
            r#type: (*event_type).into(),
            subject: "s".into(),
            ..proto::Event::default()
        };
        let event = Event::new(event, clock.now(), &Limits::default()).expect("a valid event");
        store.log.append(&[event]).await?;
        clock.advance(DAY);
    }
    Ok((folder, store))
}

fn status(consumer: &str, topic: Topic, last_position: u64) -> ConsumerStatus {
    ConsumerStatus {
        at: ConsumerPartition { consumer: consumer.into(), topic: topic.name(), partition: 0 },
        progress: Progress { next_offset: 0, last_position },
        report: None,
        parked_keys: 0,
        dead_letters: 0,
        lost_until: None,
    }
}

fn read(statuses: &[ConsumerStatus]) -> HaveRead {
    let both = vec![Topic::SensorEvents, Topic::UserActions];
    let readers = [("one", vec![Topic::SensorEvents]), ("both", both)];
    HaveRead::new(&readers, statuses, Partitions::ONE)
}

#[tokio::test]
async fn who_reads_a_quiet_topic_holds_nothing() -> anyhow::Result<()> {
    let (_folder, store) = log(&["user.a", "sensor.a", "sensor.a", "sensor.a"]).await?;
    let later = noon() + 10 * DAY;
    let all = [
        status("one", Topic::SensorEvents, 4),
        status("both", Topic::SensorEvents, 4),
        status("both", Topic::UserActions, 1),
    ];
    assert_eq!(read(&all).first_unread(store.log.as_ref(), later).await?, None);
    assert_eq!(read(&[]).first_unread(store.log.as_ref(), later).await?, None, "nobody has ever read");
    let not_begun = &all[..2];
    assert_eq!(read(not_begun).first_unread(store.log.as_ref(), later).await?, Some(1));
    Ok(())
}

#[test]
fn who_counts_events_reads_their_topics_too() -> anyhow::Result<()> {
    let topics = |counted: &Counted| {
        let mut readers = readers(counted).into_iter();
        readers.find(|(name, _)| *name == processor::NAME).map(|(_, topics)| topics)
    };
    assert_eq!(topics(&Counted::default()), Some(vec![Topic::SensorEvents]));
    let counted = Counted::new(["security.login_failed".to_owned()])?;
    assert_eq!(topics(&counted), Some(vec![Topic::SensorEvents, Topic::SystemEvents]));
    Ok(())
}

#[tokio::test]
async fn what_is_lost_is_counted_up_to_the_day() -> anyhow::Result<()> {
    let (_folder, store) = log(&["sensor.a", "sensor.a", "user.a", "sensor.a", "sensor.a"]).await?;
    let behind = read(&[
        status("one", Topic::SensorEvents, 1),
        status("both", Topic::SensorEvents, 2),
        status("both", Topic::UserActions, 3),
    ]);
    let (first, at) = (noon() + DAY, |days: u32| noon() + days * DAY);
    assert_eq!(behind.first_unread(store.log.as_ref(), first).await?, None, "its own day stays");
    assert_eq!(behind.first_unread(store.log.as_ref(), at(2)).await?, Some(2));
    let lost = behind.losses(store.log.as_ref(), at(4)).await?;
    let lost: Vec<_> = lost.iter().map(|gap| (gap.at.consumer.as_str(), gap.first, gap.last)).collect();
    assert_eq!(lost, [("both", 4, 4), ("one", 2, 4)]);
    Ok(())
}
