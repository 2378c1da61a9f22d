//! The laws of [`Alarms`](crate::Alarms).

use std::time::Duration;

use super::fixtures::{clock, noon};
use super::{Backend, laws};
use crate::{Alarm, AlarmState, GroupKey, Lasting, Store};

laws!(
    an_alarm_is_kept_as_it_is,
    of_many_who_raise_one_at_once_one_finds_none,
    those_of_a_group_that_last_are_found,
);

pub(super) fn alarm(key: &str, state: AlarmState) -> Alarm {
    Alarm {
        key: key.into(),
        state,
        severity: 2,
        rule: "hot".into(),
        rule_version: 3,
        decision: "decision".into(),
        source: "sensors".into(),
        event_id: "7".into(),
        subject: "pump-7".into(),
        title: "too hot".into(),
        group: None,
        event: vec![0, 255],
        told: true,
        raised_count: 2,
        event_count: 5,
        raised: noon(),
        acknowledged: (state == AlarmState::Acknowledged)
            .then(|| (noon() + Duration::from_secs(1), Some("ann".into()))),
        cleared: (state == AlarmState::Cleared).then(|| noon() + Duration::from_secs(2)),
        last_position: 9,
    }
}

pub(super) async fn put(store: &Store, alarms: &[Alarm]) -> anyhow::Result<()> {
    let keys: Vec<String> = alarms.iter().map(|alarm| alarm.key.clone()).collect();
    let mut tx = store.offsets.begin_apart().await?;
    tx.lock_alarms(&keys).await?;
    tx.put_alarms(alarms).await?;
    Ok(tx.commit().await?)
}

async fn an_alarm_is_kept_as_it_is(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let all =
        [alarm("a", AlarmState::Open), alarm("b", AlarmState::Acknowledged), alarm("c", AlarmState::Cleared)];
    put(&store, &all).await?;
    assert_eq!(store.alarms.list(None, "", 9).await?, all);
    assert_eq!(store.alarms.list(None, "a", 1).await?, all[1..2]);
    assert_eq!(store.alarms.list(Some(AlarmState::Cleared), "", 9).await?, all[2..]);
    let keys = ["b".to_owned(), "d".to_owned()];
    let found = store.offsets.begin_apart().await?.lock_alarms(&keys).await?;
    assert_eq!(found.into_values().collect::<Vec<_>>(), all[1..2]);
    put(&store, &[alarm("b", AlarmState::Cleared)]).await?;
    assert_eq!(store.alarms.list(Some(AlarmState::Cleared), "", 9).await?.len(), 2);
    Ok(())
}

async fn of_many_who_raise_one_at_once_one_finds_none(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let raise = async || {
        let mut tx = store.offsets.begin_apart().await?;
        let keys = ["a".to_owned(), "b".to_owned()];
        let found = tx.lock_alarms(&keys).await?;
        tx.put_alarms(&keys.map(|key| alarm(&key, AlarmState::Open))).await?;
        tx.commit().await?;
        anyhow::Ok(found.is_empty())
    };
    let (one, two, three, four) = tokio::try_join!(raise(), raise(), raise(), raise())?;
    assert_eq!([one, two, three, four].into_iter().filter(|first| *first).count(), 1);
    Ok(())
}

async fn those_of_a_group_that_last_are_found(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let of = |key: &str, state, group: &str| Alarm { group: Some(group.into()), ..alarm(key, state) };
    let open = [of("a", AlarmState::Open, "line-1"), of("b", AlarmState::Open, "line-1")];
    let others = [
        of("c", AlarmState::Acknowledged, "line-1"),
        of("d", AlarmState::Cleared, "line-1"),
        of("e", AlarmState::Open, "line-2"),
        Alarm { told: false, ..of("f", AlarmState::Open, "line-1") },
        Alarm { rule: "cold".into(), ..of("g", AlarmState::Open, "line-1") },
        alarm("h", AlarmState::Open),
    ];
    put(&store, &open).await?;
    put(&store, &others).await?;
    let mut tx = store.offsets.begin_apart().await?;
    let group = |key: &str| GroupKey { rule: "hot".into(), key: key.into() };
    let lasting = tx.lasting_alarms(&group("line-1"), 9).await?;
    assert_eq!(lasting, Lasting { count: 3, open_count: 2, open: open.to_vec() });
    assert_eq!(
        tx.lasting_alarms(&group("line-1"), 1).await?,
        Lasting { count: 3, open_count: 2, open: open[..1].to_vec() }
    );
    assert_eq!(tx.lasting_alarms(&group("line-3"), 9).await?, Lasting::default());
    Ok(())
}
