//! The laws of letting go of what actions keep: what is over for long goes, and nothing that waits or that something kept asks for.

use std::collections::BTreeSet;
use std::time::Duration;

use cornjacket_domain::Timestamp;

use super::alarms::{alarm, put};
use super::definitions::{good, rotate};
use super::deliveries::{claim, deliver, told};
use super::fixtures::{clock, noon};
use super::ledger::{decide, decision};
use super::{Backend, laws};
use crate::{
    Aged, Alarm, AlarmState, AttemptResult, DecidedEvent, Decision, Delivery, DeliveryState, Dropped, Group,
    GroupKey, NewDelivery, Outcome, Settling, Store,
};

laws!(
    deliveries_that_are_over_go_with_their_attempts,
    decisions_stay_while_something_names_them,
    a_window_that_may_not_be_over_keeps_its_decision,
    alarms_that_are_over_go,
    what_was_told_together_goes_together,
    secrets_that_sign_no_longer_go,
    what_is_over_goes_part_by_part,
    many_who_let_go_at_once_let_go_of_each_once,
);

const HOUR: Duration = Duration::from_hours(1);
const LEASE: Duration = Duration::from_mins(1);

/// Everything that was over before that time.
fn before(time: Timestamp) -> Aged {
    Aged { settled: time, windows: time, cleared: time, secrets: time }
}

async fn drop_aged(store: &Store, aged: &Aged) -> anyhow::Result<Dropped> {
    Ok(store.action_retention.drop_aged(aged, 1_000).await?)
}

/// Has something told and attempted, and what comes of it at that time.
async fn tell(store: &Store, id: &str, state: DeliveryState, at: Timestamp) -> anyhow::Result<()> {
    deliver(store, &[told(id, id, "x", 1)]).await?;
    if state == DeliveryState::Pending {
        return Ok(());
    }
    if state == DeliveryState::Sending {
        claim(store, id, noon(), LEASE).await?;
        return Ok(());
    }
    settle_at(store, id, state, at).await
}

/// Has an attempt made at what is due to an endpoint, and what comes of it at that time.
async fn settle_at(store: &Store, endpoint: &str, state: DeliveryState, at: Timestamp) -> anyhow::Result<()> {
    let claimed: Delivery = claim(store, endpoint, noon(), LEASE).await?;
    let settling = Settling {
        id: &claimed.told.id,
        fence: claimed.fence + 1,
        attempt: 1,
        result: &AttemptResult { outcome: 2, ..AttemptResult::default() },
        state,
        due: noon(),
        steps: 1,
        now: at,
    };
    let mut tx = store.offsets.begin_apart().await?;
    assert!(tx.settle_delivery(&settling).await?);
    Ok(tx.commit().await?)
}

async fn deliveries(store: &Store) -> anyhow::Result<BTreeSet<String>> {
    let all = store.deliveries.list(&crate::DeliveryFilter::default(), None, 1_000).await?;
    Ok(all.into_iter().map(|one| one.told.id).collect())
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

async fn deliveries_that_are_over_go_with_their_attempts(backend: Backend) -> anyhow::Result<()> {
    use DeliveryState::{Dead, Delivered, Pending, Sending};
    let store = backend.open(clock()).await?;
    let (old, young) = (noon() + HOUR, noon() + HOUR * 3);
    for (id, state, at) in [
        ("arrived", Delivered, old),
        ("given-up", Dead, old),
        ("arrived-later", Delivered, young),
        ("given-up-later", Dead, young),
        ("waits", Pending, old),
        ("under-way", Sending, old),
    ] {
        tell(&store, id, state, at).await?;
    }
    assert!(drop_aged(&store, &before(old)).await?.is_nothing(), "until then it is kept");
    let dropped = drop_aged(&store, &before(noon() + HOUR * 2)).await?;
    assert_eq!(dropped, Dropped { deliveries: 2, ..Dropped::default() });
    assert_eq!(
        deliveries(&store).await?,
        set(&["arrived-later", "given-up-later", "waits", "under-way"]),
        "what waits or is under way is never over"
    );
    let early = Timestamp::from_micros(0);
    let attempts = store.offsets.begin_apart().await?.begun_after(None, early, 100).await?;
    assert_eq!(attempts.len(), 3, "of those that are kept");
    let (_, attempts) = store.deliveries.get("given-up-later").await?.expect("it is kept");
    assert_eq!(attempts.len(), 1);
    Ok(())
}

async fn is_kept(store: &Store, decision: &Decision) -> anyhow::Result<bool> {
    let event = DecidedEvent {
        source: &decision.source,
        id: &decision.event_id,
        event_type: "another",
        subject: "another",
        position: decision.position,
    };
    Ok(store.ledger.of_event(&event).await?.iter().any(|one| one.id == decision.id))
}

async fn kept(store: &Store, all: &[Decision]) -> anyhow::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for decision in all {
        if is_kept(store, decision).await? {
            found.insert(decision.id.clone());
        }
    }
    Ok(found)
}

async fn decisions_stay_while_something_names_them(backend: Backend) -> anyhow::Result<()> {
    use Outcome::{Deduplicated, Sent, Stale};
    let store = backend.open(clock()).await?;
    let late = |one: Decision| Decision { last_time: noon() + HOUR * 3, ..one };
    let named = |id: &str, by: &str, position, outcome| Decision {
        because: Some(by.into()),
        ..decision(id, position, outcome)
    };
    let all = [
        decision("told", 1, Sent),
        decision("stale", 2, Stale),
        decision("waits", 3, Sent),
        decision("lasts", 4, Sent),
        decision("ended", 5, Sent),
        decision("repeated", 6, Sent),
        late(named("repeat", "repeated", 7, Deduplicated)),
        decision("begins", 8, Sent),
        named("old-repeat", "begins", 9, Deduplicated),
    ];
    decide(&store, &all).await?;
    deliver(&store, &[NewDelivery { decision: "waits".into(), ..told("d", "a", "x", 1) }]).await?;
    let of = |key: &str, state| Alarm { decision: key.into(), ..alarm(key, state) };
    put(&store, &[of("ended", AlarmState::Cleared), of("lasts", AlarmState::Acknowledged)]).await?;
    let aged = Aged { cleared: noon(), ..before(noon() + HOUR * 2) };
    assert_eq!(drop_aged(&store, &aged).await?.decisions, 4);
    assert_eq!(kept(&store, &all).await?, set(&["waits", "lasts", "repeated", "repeat", "begins"]));
    assert_eq!(drop_aged(&store, &aged).await?.decisions, 1, "what named it is gone");
    assert_eq!(drop_aged(&store, &aged).await?.decisions, 0);
    assert_eq!(kept(&store, &all).await?, set(&["waits", "lasts", "repeated", "repeat"]));
    Ok(())
}

async fn a_window_that_may_not_be_over_keeps_its_decision(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let all = [decision("told", 1, Outcome::Sent), decision("silenced", 2, Outcome::Silenced)];
    decide(&store, &all).await?;
    let aged = Aged { windows: noon(), ..before(noon() + HOUR) };
    assert_eq!(drop_aged(&store, &aged).await?.decisions, 1);
    assert_eq!(kept(&store, &all).await?, set(&["told"]));
    let aged = Aged { windows: noon() + HOUR, ..aged };
    assert_eq!(drop_aged(&store, &aged).await?.decisions, 1);
    Ok(())
}

async fn alarms_that_are_over_go(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let cleared = |key: &str, at| Alarm { cleared: Some(at), ..alarm(key, AlarmState::Cleared) };
    let all = [
        alarm("acknowledged", AlarmState::Acknowledged),
        cleared("over", noon() + HOUR),
        cleared("over-later", noon() + HOUR * 2),
        // It was over once.
        Alarm { cleared: Some(noon()), ..alarm("open", AlarmState::Open) },
    ];
    put(&store, &all).await?;
    assert_eq!(drop_aged(&store, &before(noon() + HOUR * 2)).await?.alarms, 1);
    let left = store.alarms.list(None, "", 100).await?;
    let left: BTreeSet<String> = left.into_iter().map(|one| one.key).collect();
    assert_eq!(left, set(&["acknowledged", "open", "over-later"]));
    Ok(())
}

async fn what_was_told_together_goes_together(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let grouped = |id: &str, position| Decision {
        because: Some("telling".into()),
        ..decision(id, position, Outcome::Grouped)
    };
    let all = [grouped("one", 1), grouped("other", 2)];
    decide(&store, &all).await?;
    let group = |key: &str, due| Group {
        due,
        told: Some(noon()),
        ..Group::new(GroupKey { rule: "hot".into(), key: key.into() })
    };
    let (waits, quiet) = (group("waits", Some(noon())), group("quiet", None));
    // Looked at, and nothing added.
    let never = Group { told: None, ..group("never", None) };
    let mut tx = store.offsets.begin_apart().await?;
    tx.lock_groups(&[never.id.clone(), quiet.id.clone(), waits.id.clone()]).await?;
    tx.put_groups(&[never, quiet, waits]).await?;
    let head = NewDelivery { decision: "telling".into(), gathers: true, ..told("head", "a", "x", 1) };
    tx.deliver(&[head, NewDelivery { gathers: true, ..told("part", "a", "y", 1) }]).await?;
    tx.commit().await?;
    let mut tx = store.offsets.begin_apart().await?;
    let part = store.deliveries.get("part").await?.expect("it is told").0;
    tx.gather(&[part], "head", b"both", noon()).await?;
    tx.commit().await?;
    let aged = before(noon() + HOUR);
    assert_eq!(drop_aged(&store, &aged).await?, Dropped { groups: 2, ..Dropped::default() });
    assert_eq!(kept(&store, &all).await?, set(&["one", "other"]), "their delivery waits");
    assert_eq!(deliveries(&store).await?, set(&["head", "part"]), "the one is told with the other");
    settle_at(&store, "a", DeliveryState::Delivered, noon()).await?;
    assert_eq!(
        drop_aged(&store, &aged).await?,
        Dropped { deliveries: 1, decisions: 2, ..Dropped::default() }
    );
    assert_eq!(drop_aged(&store, &aged).await?, Dropped { deliveries: 1, ..Dropped::default() });
    Ok(())
}

async fn secrets_that_sign_no_longer_go(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    rotate(&store, "1", noon(), HOUR).await?;
    rotate(&store, "2", noon(), HOUR).await?;
    assert_eq!(drop_aged(&store, &before(noon())).await?.secrets, 0);
    assert_eq!(good(&store, noon()).await?, ["2", "1"]);
    assert_eq!(drop_aged(&store, &before(noon() + HOUR)).await?.secrets, 1);
    assert_eq!(good(&store, noon()).await?, ["2"], "the last one signs for ever");
    Ok(())
}

async fn what_is_over_goes_part_by_part(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    for number in 0..5_u32 {
        let at = noon() + Duration::from_secs(number.into());
        tell(&store, &number.to_string(), DeliveryState::Delivered, at).await?;
    }
    let part = async || store.action_retention.drop_aged(&before(noon() + HOUR), 2).await;
    assert_eq!(part().await?.deliveries, 2);
    assert_eq!(deliveries(&store).await?, set(&["2", "3", "4"]), "the oldest first");
    assert_eq!((part().await?.deliveries, part().await?.deliveries), (2, 1));
    assert!(part().await?.is_nothing());
    Ok(())
}

async fn many_who_let_go_at_once_let_go_of_each_once(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let all: Vec<Decision> = (0..200).map(|at| decision(&at.to_string(), at, Outcome::Stale)).collect();
    decide(&store, &all).await?;
    let one = async || {
        let mut sum = 0;
        loop {
            let dropped = store.action_retention.drop_aged(&before(noon() + HOUR), 7).await?;
            sum += dropped.decisions;
            if dropped.is_nothing() {
                return anyhow::Ok(sum);
            }
        }
    };
    let (a, b, c) = tokio::try_join!(one(), one(), one())?;
    // Whoever finds everything in the hands of others is done.
    let rest = one().await?;
    assert_eq!(a + b + c + rest, 200);
    assert_eq!(kept(&store, &all).await?, BTreeSet::new());
    Ok(())
}
