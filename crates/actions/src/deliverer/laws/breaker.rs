//! Who does not answer is left alone, by every process and over every restart; that costs no delivery an attempt.

use cornjacket_store::{DeliveryFilter, DeliveryState};

use super::bed::{Bed, MINUTE, SECOND, endpoint, finish, ids};
use super::laws;
use crate::breaker::{Answer, OPEN};

laws!(
    five_failures_in_a_row_at_any_desk_leave_it_alone_for_five_minutes_and_one_probe_decides,
    who_asks_to_be_left_alone_is_and_that_is_no_step,
    who_was_not_asked_is_not_blamed,
    a_probe_that_is_refused_has_shown_that_somebody_is_there,
);

async fn five_failures_in_a_row_at_any_desk_leave_it_alone_for_five_minutes_and_one_probe_decides(
    bed: Bed,
) -> anyhow::Result<()> {
    bed.define(&endpoint("pager")).await?;
    bed.tell("pager", &ids("page", 20), 0).await?;
    let mut desks = [bed.desk(None)?, bed.desk(None)?];
    // Four slots in all: four fail, and four more, of which those that had begun by the fifth failure are the last.
    let began = bed.now();
    let mut failed = bed.run(&mut desks, began + OPEN, |_| Answer::Bad).await?;
    let probe = failed.pop().expect("a probe");
    assert_eq!(failed.len(), 8, "{failed:?}");
    assert!(failed.iter().all(|one| one.at == began));
    assert_eq!(probe.at, began + OPEN, "alone for five minutes, then one probe");
    let burnt = bed.store.deliveries.list(&DeliveryFilter::default(), None, 100).await?;
    assert_eq!(burnt.iter().filter(|one| one.attempts == 0).count(), 12, "the others have lost nothing");

    // It failed: alone for five minutes more, also by who knows nothing of it.
    drop(desks);
    let bed = bed.restart().await?;
    let mut desks = [bed.desk(None)?, bed.desk(None)?];
    let quiet = bed.run(&mut desks, began + OPEN * 2 - SECOND, |_| Answer::Bad).await?;
    assert_eq!(quiet, []);
    bed.clock.advance(SECOND);
    let [one, other] = &mut desks;
    let probe = one.round(0).await?;
    assert_eq!(probe.deliveries.len(), 1);
    assert_eq!(other.round(0).await?.deliveries.len(), 0, "one probe, of all desks");
    bed.clock.advance(SECOND);
    assert_eq!(one.round(1).await?.deliveries.len(), 0);
    finish(one, probe, |_| Answer::Good);
    let rest = bed.run(&mut desks, bed.now() + MINUTE, |_| Answer::Good).await?;
    assert_eq!(rest.len(), 19, "it is well again");
    Ok(())
}

async fn who_asks_to_be_left_alone_is_and_that_is_no_step(bed: Bed) -> anyhow::Result<()> {
    bed.define(&endpoint("slack")).await?;
    bed.define(&endpoint("pager")).await?;
    bed.tell("slack", &ids("slack", 1), 0).await?;
    let mut desks = [bed.desk(None)?, bed.desk(None)?];
    let began = bed.now();
    // More often than there are steps in its schedule.
    let mut asked = 0;
    let sent = bed.run(&mut desks, began + SECOND * 30 * 9 + SECOND, |_| {
        asked += 1;
        Answer::Hold(SECOND * 30)
    });
    assert_eq!(sent.await?.len(), 10);
    assert_eq!(asked, 10);
    let (held, attempts) = bed.get("slack-000").await?;
    assert_eq!((held.state, held.steps, attempts.len()), (DeliveryState::Pending, 0, 10));
    assert_eq!(bed.delays("slack-000").await?, [SECOND * 30; 9]);

    // All of the endpoint is held, and nothing else; also over a restart.
    bed.tell("slack", &ids("more", 3), 0).await?;
    bed.tell("pager", &ids("page", 3), 0).await?;
    drop(desks);
    let bed = bed.restart().await?;
    let mut desks = [bed.desk(None)?];
    let sent = bed.run(&mut desks, bed.now() + SECOND * 10, |_| Answer::Good).await?;
    assert!(sent.iter().all(|one| one.id.starts_with("page")) && sent.len() == 3, "{sent:?}");
    let sent = bed.run(&mut desks, bed.now() + MINUTE, |_| Answer::Good).await?;
    assert_eq!(sent.len(), 4);
    assert!(sent.iter().all(|one| one.at == began + SECOND * 30 * 10), "{sent:?}");
    Ok(())
}

async fn who_was_not_asked_is_not_blamed(bed: Bed) -> anyhow::Result<()> {
    bed.define(&endpoint("pager")).await?;
    bed.tell("pager", &ids("page", 8), 0).await?;
    let mut desks = [bed.desk(None)?];
    let sent = bed.run(&mut desks, bed.now() + SECOND * 2, |one| match one.attempts {
        0 => Answer::NotAsked,
        _ => Answer::Good,
    });
    assert_eq!(sent.await?.len(), 16, "each again after a second, as after a failure");
    assert_eq!(bed.get("page-000").await?.0.steps, 1);
    Ok(())
}

async fn a_probe_that_is_refused_has_shown_that_somebody_is_there(bed: Bed) -> anyhow::Result<()> {
    bed.define(&endpoint("pager")).await?;
    bed.tell("pager", &ids("page", 20), 0).await?;
    let mut desks = [bed.desk(None)?];
    bed.run(&mut desks, bed.now() + OPEN - SECOND, |_| Answer::Bad).await?;
    bed.clock.advance(SECOND);
    let [desk] = &mut desks;
    let probe = desk.round(0).await?;
    assert_eq!(probe.deliveries.len(), 1);
    finish(desk, probe, |_| Answer::Refused);
    assert_eq!(desk.round(0).await?.deliveries.len(), 4, "as many as it has slots");
    Ok(())
}
