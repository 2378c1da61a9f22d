//! With the default limit a flood leaves at ten a minute, whoever sends it and whatever ends and begins in between.

use std::collections::BTreeSet;

use cornjacket_proto::actions::{Endpoint, RateLimit};

use super::bed::{Bed, DEFAULT_RATE, MINUTE, SECOND, Sent, endpoint, finish, ids};
use super::laws;
use crate::breaker::Answer;
use crate::testing::NOW;

laws!(
    a_hundred_at_once_leave_at_ten_a_minute_the_urgent_first,
    desks_at_the_same_time_share_a_limit,
    an_endpoints_own_limit_holds_up_nobody_else,
);

/// No span of a minute has more than ten.
fn assert_smooth(sent: &[Sent]) {
    for (index, last) in sent.iter().enumerate().skip(10) {
        assert!(last.at >= sent[index - 10].at + MINUTE, "{:?}", &sent[index - 10..=index]);
    }
}

async fn a_hundred_at_once_leave_at_ten_a_minute_the_urgent_first(bed: Bed) -> anyhow::Result<()> {
    let (mut bed, began) = (bed, NOW);
    bed.define(&endpoint("mail")).await?;
    bed.define(&endpoint("pager")).await?;
    bed.tell("mail", &ids("digest", 65), 2).await?;
    bed.tell("pager", &ids("page", 30), 0).await?;
    let mut sent = Vec::new();
    for minute in [2, 5, 7, 20] {
        // Two processes, that know nothing of those before them.
        let mut desks = [bed.desk(DEFAULT_RATE)?, bed.desk(DEFAULT_RATE)?];
        sent.extend(bed.run(&mut desks, began + MINUTE * minute + SECOND, |_| Answer::Good).await?);
        if minute == 5 {
            // What is urgent does not wait behind what came before it.
            bed.tell("pager", &ids("late", 5), 0).await?;
        }
        drop(desks);
        bed = bed.restart().await?;
    }
    assert_smooth(&sent);
    let different: BTreeSet<&str> = sent.iter().map(|one| one.id.as_str()).collect();
    assert_eq!((sent.len(), different.len()), (100, 100), "none is lost, and none is sent twice");
    assert_eq!(sent[99].at, began + MINUTE * 9, "no longer than it has to take");
    assert!(sent[..30].iter().all(|one| one.priority == 0), "pages first");
    let late = sent[60..70].iter().filter(|one| one.id.starts_with("late")).count();
    assert_eq!(late, 5, "{:?}", &sent[60..70]);
    Ok(())
}

async fn desks_at_the_same_time_share_a_limit(bed: Bed) -> anyhow::Result<()> {
    bed.define(&Endpoint { slots: 64, ..endpoint("pager") }).await?;
    bed.tell("pager", &ids("page", 40), 0).await?;
    let (mut one, mut other) = (bed.desk(DEFAULT_RATE)?, bed.desk(DEFAULT_RATE)?);
    for minute in 1..=4 {
        let (of_one, of_other) = tokio::join!(one.round(0), other.round(0));
        let (of_one, of_other) = (of_one?, of_other?);
        assert_eq!(of_one.deliveries.len() + of_other.deliveries.len(), 10, "minute {minute}");
        finish(&mut one, of_one, |_| Answer::Good);
        finish(&mut other, of_other, |_| Answer::Good);
        bed.clock.advance(MINUTE);
    }
    Ok(())
}

async fn an_endpoints_own_limit_holds_up_nobody_else(bed: Bed) -> anyhow::Result<()> {
    let limit = RateLimit { count: 1, per: Some(prost_types::Duration { seconds: 60, nanos: 0 }) };
    bed.define(&Endpoint { rate_limit: Some(limit), ..endpoint("slow") }).await?;
    bed.define(&endpoint("fast")).await?;
    bed.tell("slow", &ids("slow", 3), 0).await?;
    bed.tell("fast", &ids("fast", 30), 1).await?;
    let mut desks = [bed.desk(None)?, bed.desk(None)?];
    let sent = bed.run(&mut desks, bed.now() + MINUTE * 5, |_| Answer::Good).await?;
    let at = |prefix: &str| -> Vec<u64> {
        let of = sent.iter().filter(|one| one.id.starts_with(prefix));
        of.map(|one| one.at.as_micros().abs_diff(NOW.as_micros()) / 1_000_000).collect()
    };
    assert_eq!(at("slow"), [0, 60, 120]);
    assert_eq!(at("fast"), [0; 30]);
    Ok(())
}
