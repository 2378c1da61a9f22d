//! How endpoints end, and what becomes of what was for them.

use std::time::Duration;

use cornjacket_proto::actions::{Endpoint, RetrySchedule};
use cornjacket_store::{DeliveryState, Health};

use super::bed::{Bed, MINUTE, SECOND, endpoint, finish, ids};
use super::laws;
use crate::breaker::{Answer, GIVE_UP};

laws!(
    who_is_gone_is_told_nothing_more_until_somebody_says_otherwise,
    five_days_of_failure_end_it_and_five_days_with_a_good_answer_do_not,
    what_waits_for_an_endpoint_that_is_deleted_is_given_up,
    what_is_under_way_to_an_endpoint_that_is_deleted_has_an_end,
);

async fn who_is_gone_is_told_nothing_more_until_somebody_says_otherwise(bed: Bed) -> anyhow::Result<()> {
    bed.define(&endpoint("pager")).await?;
    bed.tell("pager", &ids("page", 6), 0).await?;
    let mut desks = [bed.desk(None)?, bed.desk(None)?];
    let first = desks[0].round(0).await?;
    assert_eq!(first.deliveries.len(), 4);
    finish(&mut desks[0], first, |one| if one.told.id == "page-001" { Answer::Gone } else { Answer::Good });
    assert_eq!(bed.run(&mut desks, bed.now() + MINUTE, |_| Answer::Good).await?, []);
    assert_eq!(bed.get("page-001").await?.0.state, DeliveryState::Dead);
    assert_eq!(bed.said().await?, ["system.delivery_failed", "system.endpoint_disabled"]);
    drop(desks);

    let bed = bed.restart().await?;
    let mut desks = [bed.desk(None)?];
    assert_eq!(bed.run(&mut desks, bed.now() + MINUTE, |_| Answer::Good).await?, []);
    bed.define(&endpoint("pager")).await?;
    let sent = bed.run(&mut desks, bed.now() + MINUTE, |_| Answer::Good).await?;
    assert_eq!(sent.len(), 2, "those that waited, and not what was refused");
    Ok(())
}

async fn five_days_of_failure_end_it_and_five_days_with_a_good_answer_do_not(bed: Bed) -> anyhow::Result<()> {
    let hour = Duration::from_hours(1);
    for name in ["bad", "poor"] {
        bed.define(&Endpoint { retry: RetrySchedule::Sync.into(), ..endpoint(name) }).await?;
    }
    let (began, mut desks) = (bed.now(), [bed.desk(None)?]);
    let health = async |name: &str| anyhow::Ok(bed.store.deliveries.health().await?.get(name).cloned());
    for part in 0..=20 {
        for name in ["bad", "poor"] {
            bed.tell(name, &[format!("{name}-{part}")], 0).await?;
        }
        // The one has a good answer now and then.
        let answer = |one: &cornjacket_store::Delivery| {
            if one.told.id == "poor-10" { Answer::Good } else { Answer::Bad }
        };
        assert_eq!(health("bad").await?.and_then(|bad| bad.disabled), None, "part {part}");
        bed.run(&mut desks, began + hour * 6 * (part + 1), answer).await?;
    }
    assert!(bed.now() > began + GIVE_UP);
    let Health { disabled, failing_since, .. } = health("bad").await?.expect("it is not well");
    // Its fifth failure in a row, some hours after the first.
    assert!(
        failing_since.is_some_and(|since| began < since && since < began + hour * 6),
        "{failing_since:?}"
    );
    assert!(disabled.is_some_and(|why| why.contains("five days")));
    assert_eq!(health("poor").await?.and_then(|poor| poor.disabled), None);
    let said = bed.said().await?;
    assert_eq!(said.iter().filter(|one| *one == "system.endpoint_disabled").count(), 1);
    Ok(())
}

async fn what_waits_for_an_endpoint_that_is_deleted_is_given_up(bed: Bed) -> anyhow::Result<()> {
    bed.define(&endpoint("pager")).await?;
    bed.define(&endpoint("mail")).await?;
    let mut desks = [bed.desk(None)?, bed.desk(None)?];
    bed.run(&mut desks, bed.now(), |_| Answer::Good).await?;
    bed.tell("pager", &ids("page", 3), 0).await?;
    bed.tell("mail", &ids("digest", 3), 0).await?;
    bed.end("pager").await?;
    let sent = bed.run(&mut desks, bed.now() + SECOND, |_| Answer::Good).await?;
    assert!(sent.len() == 3 && sent.iter().all(|one| one.id.starts_with("digest")), "{sent:?}");
    for id in ids("page", 3) {
        let (page, attempts) = bed.get(&id).await?;
        assert_eq!((page.state, attempts.len()), (DeliveryState::Dead, 0));
        assert!(page.reason.contains("no more"), "{}", page.reason);
    }
    Ok(())
}

async fn what_is_under_way_to_an_endpoint_that_is_deleted_has_an_end(bed: Bed) -> anyhow::Result<()> {
    bed.define(&endpoint("pager")).await?;
    bed.tell("pager", &ids("page", 2), 0).await?;
    let mut desks = [bed.desk(None)?, bed.desk(None)?];
    let chosen = desks[0].round(0).await?;
    bed.end("pager").await?;
    assert_eq!(desks[1].round(0).await?.deliveries.len(), 0, "the other sees that first");
    assert_eq!(desks[0].round(2).await?.deliveries.len(), 0);
    finish(&mut desks[0], chosen, |one| if one.told.id == "page-000" { Answer::Good } else { Answer::Bad });
    bed.run(&mut desks, bed.now() + MINUTE, |_| Answer::Good).await?;
    let states = [bed.get("page-000").await?.0.state, bed.get("page-001").await?.0.state];
    assert_eq!(states, [DeliveryState::Delivered, DeliveryState::Dead]);
    Ok(())
}
