//! The laws of the [`Ledger`](crate::Ledger).

use std::time::Duration;

use super::fixtures::{clock, noon};
use super::{Backend, laws};
use crate::{DecidedEvent, Decision, Outcome, Store, Window, WindowKey};

laws!(windows_are_the_last_ones_by_key, repeats_are_counted_and_found_again);

pub(super) fn decision(id: &str, position: u64, outcome: Outcome) -> Decision {
    let time = noon() + Duration::from_secs(position);
    Decision {
        id: id.into(),
        rule: "hot".into(),
        rule_version: 3,
        source: "sensors".into(),
        event_id: format!("event-{position}"),
        position,
        event_type: "sensor.reading".into(),
        subject: "pump-7".into(),
        outcome,
        reason: "why".into(),
        because: (outcome == Outcome::Deduplicated).then(|| "first".into()),
        count: 1,
        first_time: time,
        last_time: time,
        last_position: position,
    }
}

pub(super) async fn decide(store: &Store, decisions: &[Decision]) -> anyhow::Result<()> {
    let mut tx = store.offsets.begin_apart().await?;
    tx.decide(decisions).await?;
    Ok(tx.commit().await?)
}

fn key(rule: &str, subject: &str) -> WindowKey {
    WindowKey { rule: rule.into(), event_type: "sensor.reading".into(), subject: subject.into() }
}

async fn windows_are_the_last_ones_by_key(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let stale = decision("stale", 9, Outcome::Stale);
    let other = Decision { id: "other".into(), subject: "pump-8".into(), ..decision("", 5, Outcome::Sent) };
    decide(
        &store,
        &[decision("first", 1, Outcome::Sent), decision("second", 4, Outcome::Sent), other, stale],
    )
    .await?;
    let keys = [key("hot", "pump-7"), key("hot", "pump-8"), key("hot", "pump-9"), key("cold", "pump-7")];
    let windows = store.offsets.begin_apart().await?.windows(&keys).await?;
    let window =
        |id: &str, position| Window { decision: id.into(), since: noon() + Duration::from_secs(position) };
    assert_eq!(windows.len(), 2);
    assert_eq!(windows[&keys[0]], window("second", 4));
    assert_eq!(windows[&keys[1]], window("other", 5));
    Ok(())
}

async fn repeats_are_counted_and_found_again(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    decide(&store, &[decision("first", 1, Outcome::Sent), decision("repeats", 2, Outcome::Deduplicated)])
        .await?;
    let more = Decision { count: 3, ..decision("repeats", 7, Outcome::Deduplicated) };
    decide(&store, std::slice::from_ref(&more)).await?;
    decide(&store, &[more, decision("first", 1, Outcome::Sent)]).await?;
    let folded = Decision {
        count: 4,
        last_time: noon() + Duration::from_secs(7),
        last_position: 7,
        ..decision("repeats", 2, Outcome::Deduplicated)
    };
    let find = async |id: &str, position| {
        let (source, event_type, subject) = ("sensors", "sensor.reading", "pump-7");
        store.ledger.of_event(&DecidedEvent { source, id, event_type, subject, position }).await
    };
    assert_eq!(find("event-1", 1).await?, [decision("first", 1, Outcome::Sent)], "known as it was");
    assert_eq!(find("event-2", 2).await?, std::slice::from_ref(&folded));
    assert_eq!(find("event-5", 5).await?, std::slice::from_ref(&folded));
    assert_eq!(find("event-7", 7).await?, [folded]);
    assert_eq!(find("event-8", 8).await?, []);
    Ok(())
}
