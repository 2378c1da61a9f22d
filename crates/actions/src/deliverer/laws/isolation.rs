//! An endpoint that hangs on all its slots delays nobody else.

use std::time::Duration;

use cornjacket_proto::actions::attempt::Outcome;
use cornjacket_store::{Delivery, DeliveryFilter, DeliveryState};

use super::bed::{Bed, DEFAULT_RATE, MINUTE, SECOND, endpoint, finish, ids};
use super::laws;
use crate::breaker::Answer;
use crate::deliverer::desk::Chosen;
use crate::settle::outcome;

laws!(
    who_hangs_on_all_slots_keeps_nobody_else_waiting,
    within_a_limit_only_the_urgent_keep_their_place,
    who_was_cut_off_is_sent_again_and_costs_the_endpoint_nothing,
    who_wakes_up_too_late_has_no_say,
);

async fn who_hangs_on_all_slots_keeps_nobody_else_waiting(bed: Bed) -> anyhow::Result<()> {
    for name in ["hung", "well"] {
        bed.define(&endpoint(name)).await?;
    }
    // It was told of first, and is as urgent as can be.
    bed.tell("hung", &ids("hung", 50), 0).await?;
    let mut desks = [bed.desk(None)?, bed.desk(None)?];
    let hung = [desks[0].round(0).await?, desks[1].round(4).await?];
    assert_eq!(hung.map(|one| one.deliveries.len()), [4, 0], "its slots are those of all desks");
    for number in 0..20 {
        bed.tell("well", &[format!("well-{number}")], 2).await?;
        bed.clock.advance(SECOND);
        let desk = &mut desks[number % 2];
        let chosen = desk.round(4).await?;
        let told: Vec<&str> = chosen.deliveries.iter().map(|(_, one)| one.told.id.as_str()).collect();
        assert_eq!(told, [format!("well-{number}")], "at once");
        finish(desk, chosen, |_| Answer::Good);
    }
    Ok(())
}

async fn within_a_limit_only_the_urgent_keep_their_place(bed: Bed) -> anyhow::Result<()> {
    for name in ["hung", "well"] {
        bed.define(&endpoint(name)).await?;
    }
    bed.tell("hung", &ids("hung", 50), 1).await?;
    bed.tell("well", &ids("page", 1), 0).await?;
    bed.tell("well", &ids("as-urgent", 1), 1).await?;
    bed.tell("well", &ids("less", 1), 2).await?;
    let mut desk = bed.desk(DEFAULT_RATE)?;
    let chosen = desk.round(0).await?;
    let told: Vec<&str> = chosen.deliveries.iter().map(|(_, one)| one.told.id.as_str()).collect();
    assert_eq!(told, ["page-000", "hung-000", "hung-001", "hung-002", "hung-003", "as-urgent-000"]);
    // What hangs fails in the end, and is left alone: then nothing waits for it.
    finish(&mut desk, chosen, |one| if one.told.endpoint == "hung" { Answer::Bad } else { Answer::Good });
    let sent = bed.run(std::slice::from_mut(&mut desk), bed.now() + MINUTE * 2, |one| {
        if one.told.endpoint == "hung" { Answer::Bad } else { Answer::Good }
    });
    assert!(sent.await?.iter().any(|one| one.id == "less-000"));
    Ok(())
}

async fn who_was_cut_off_is_sent_again_and_costs_the_endpoint_nothing(bed: Bed) -> anyhow::Result<()> {
    bed.define(&endpoint("pager")).await?;
    bed.tell("pager", &ids("page", 3), 0).await?;
    taken_by_somebody_gone(&bed).await?;
    let bed = bed.restart().await?;
    let mut desks = [bed.desk(None)?, bed.desk(None)?];
    let sent = bed.run(&mut desks, bed.now(), |_| Answer::Good).await?;
    assert_eq!(sent.len(), 3);
    for id in ids("page", 3) {
        let (page, attempts) = bed.get(&id).await?;
        let outcomes: Vec<i16> = attempts.iter().map(|one| one.result.outcome).collect();
        let (cut_off, arrived) = (outcome(Outcome::Interrupted), outcome(Outcome::Delivered));
        assert_eq!((outcomes, page.steps), (vec![cut_off, arrived], 0));
    }
    Ok(())
}

async fn who_wakes_up_too_late_has_no_say(bed: Bed) -> anyhow::Result<()> {
    bed.define(&endpoint("pager")).await?;
    bed.tell("pager", &ids("page", 1), 0).await?;
    let taken = taken_by_somebody_gone(&bed).await?;
    let (mut late, mut other) = (bed.desk(None)?, bed.desk(None)?);
    let taken_over = other.round(0).await?;
    assert_eq!(taken_over.deliveries.len(), 1);
    // Whoever was thought to be gone stood still, and now says that it arrived.
    let receiver = taken_over.deliveries[0].0.clone();
    let deliveries = taken.into_iter().map(|one| (receiver.clone(), one)).collect();
    finish(&mut late, Chosen { deliveries, next: None }, |_| Answer::Good);
    assert_eq!(late.round(0).await?.deliveries.len(), 0);
    assert_eq!(bed.get("page-000").await?.0.state, DeliveryState::Sending, "it is somebody else's");
    finish(&mut other, taken_over, |_| Answer::Bad);
    other.close().await?;
    let (page, attempts) = bed.get("page-000").await?;
    let outcomes: Vec<i16> = attempts.iter().map(|one| one.result.outcome).collect();
    assert_eq!(page.state, DeliveryState::Pending);
    assert_eq!(outcomes, [outcome(Outcome::Interrupted), outcome(Outcome::Failed)]);
    Ok(())
}

/// Takes on all that there is, under a lease that has ended as soon as it began: what that was before.
async fn taken_by_somebody_gone(bed: &Bed) -> anyhow::Result<Vec<Delivery>> {
    let all = bed.store.deliveries.list(&DeliveryFilter::default(), None, 10).await?;
    let mut tx = bed.store.offsets.begin_apart().await?;
    tx.begin_attempts(&all, bed.now(), Duration::ZERO).await?;
    tx.commit().await?;
    Ok(all)
}
