//! The delays of every schedule, as the attempts' times say.

use std::time::Duration;

use cornjacket_proto::actions::{Endpoint, RetrySchedule};
use cornjacket_store::{Delivery, DeliveryState};

use super::bed::{Bed, endpoint};
use super::laws;
use crate::breaker::Answer;

laws!(adr_is_five_retries_within_half_a_minute, page_goes_on_for_an_hour, sync_goes_on_for_a_day);

const ADR: [u64; 5] = [1, 2, 4, 8, 16];
const SYNC: [u64; 7] = [5, 300, 1_800, 7_200, 18_000, 36_000, 36_000];

async fn adr_is_five_retries_within_half_a_minute(bed: Bed) -> anyhow::Result<()> {
    follows(bed, RetrySchedule::Unspecified, &ADR).await
}

async fn page_goes_on_for_an_hour(bed: Bed) -> anyhow::Result<()> {
    follows(bed, RetrySchedule::Page, &[&ADR[..], &[300; 12]].concat()).await
}

async fn sync_goes_on_for_a_day(bed: Bed) -> anyhow::Result<()> {
    follows(bed, RetrySchedule::Sync, &SYNC).await
}

/// One delivery always fails, others in between do not: the breaker is not what this is about. Everything ends and begins anew
/// between any two attempts.
async fn follows(bed: Bed, schedule: RetrySchedule, delays: &[u64]) -> anyhow::Result<()> {
    let mut bed = bed;
    bed.define(&Endpoint { retry: schedule.into(), ..endpoint("pager") }).await?;
    bed.tell("pager", &["bad".to_owned()], 0).await?;
    let mut until = bed.now();
    for number in 0.. {
        let mut desks = [bed.desk(None)?, bed.desk(None)?];
        let good = format!("good-{number}");
        bed.tell("pager", std::slice::from_ref(&good), 1).await?;
        let answer = |one: &Delivery| if one.told.id == "bad" { Answer::Bad } else { Answer::Good };
        bed.run(&mut desks, until, answer).await?;
        assert_eq!(bed.get(&good).await?.0.state, DeliveryState::Delivered);
        let (bad, _) = bed.get("bad").await?;
        if bad.state == DeliveryState::Dead {
            break;
        }
        assert!(bad.due > until, "it waits");
        until = bad.due;
        drop(desks);
        bed = bed.restart().await?;
    }
    let was = bed.delays("bad").await?;
    assert_eq!(was.len(), delays.len(), "{was:?}");
    for (was, wanted) in was.iter().zip(delays) {
        let wanted = Duration::from_secs(*wanted);
        assert!(was.abs_diff(wanted) <= wanted / 5, "{was:?} for {wanted:?}");
    }
    assert_eq!(bed.said().await?, ["system.delivery_failed"]);
    Ok(())
}
