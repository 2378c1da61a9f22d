use cornjacket_proto::actions::Silence;
use cornjacket_store::{Definition, DefinitionKind, Redefinition, Store};

use super::*;
use crate::testing::NOW;

const DAY: Duration = Duration::from_hours(24);

#[test]
fn what_limits_and_windows_look_at_is_kept_however_little_is_to_be() {
    let aged = Keep { over: DAY * 30, unread: DAY * 14 }.aged(NOW);
    assert_eq!((aged.settled, aged.cleared), (NOW - DAY * 30, NOW - DAY * 30));
    assert_eq!((aged.windows, aged.secrets), (NOW - DAY * 21, NOW));
    let aged = Keep { over: Duration::ZERO, unread: DAY * 2 }.aged(NOW);
    assert_eq!(aged.settled, NOW - Duration::from_hours(1), "limits count what was attempted within an hour");
    assert_eq!(
        aged.windows,
        NOW - DAY * 9,
        "a window lasts a week at the most, and somebody is two days behind"
    );
    assert_eq!(aged.cleared, NOW - DAY * 2);
}

async fn silence(store: &Store, name: &str, end: Timestamp) -> anyhow::Result<()> {
    let silence = Silence { name: name.into(), end_time: Some(end.to_proto()), ..Silence::default() };
    let change = Redefinition {
        revision: store.defining.read().await?.revision,
        kind: DefinitionKind::Silence,
        name,
        bytes: Some(&silence.encode_to_vec()),
        secret: None,
        forgives: false,
        by: None,
        now: NOW,
    };
    assert_eq!(store.defining.redefine(&change).await?, Redefined::Done);
    Ok(())
}

#[tokio::test]
async fn silences_that_are_over_for_long_go() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite://{}", folder.path().join("cornjacket.db").display());
    let options = cornjacket_store::Options::new(url, cornjacket_domain::Partitions::ONE);
    let store = Store::open(&options, Arc::new(cornjacket_domain::clock::ManualClock::at(NOW))).await?;
    for (name, end) in [
        ("long-over", NOW - DAY * 31),
        ("over", NOW - DAY * 29),
        ("lasts", NOW + DAY),
        ("over-too", NOW - DAY * 40),
    ] {
        silence(&store, name, end).await?;
    }
    let keep = Keep { over: DAY * 30, unread: DAY * 14 };
    let retention = Retention::new(store.action_retention.clone(), store.defining.clone(), keep);
    retention.apply(NOW).await?;
    let left = store.defining.read().await?;
    let names: Vec<&str> = left.all.iter().map(|one: &Definition| one.name.as_str()).collect();
    assert_eq!(names, ["lasts", "over"]);
    Ok(())
}
