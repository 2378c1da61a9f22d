//! Members of a group come and go.

use super::*;

/// Waits for an assignment of some partitions. Between two of them there is one of none.
async fn assigned(subscription: &mut dyn Subscription) -> anyhow::Result<Vec<u16>> {
    loop {
        let partitions = begin(timeout(DEADLINE, subscription.assigned()).await??);
        if !partitions.is_empty() {
            return Ok(partitions);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_no_records_keeps_nobody_from_joining() -> anyhow::Result<()> {
    let bus = bus().await?;
    let mut publisher = publisher(&bus).await?;
    // More than waits in channels, so that the thread has something in hand as well.
    publisher.publish(&events(1, 20_000)).await?;
    publisher.commit().await?;
    let topics = [Topic::SensorEvents];
    let mut idle = bus.subscribe("group", &topics).await?;
    assert_eq!(assigned(idle.as_mut()).await?, [0, 1, 2]);
    let mut other = bus.subscribe("group", &topics).await?;
    let (own, others) = tokio::try_join!(assigned(idle.as_mut()), assigned(other.as_mut()))?;
    assert_eq!([own.clone(), others].concat().len(), 3, "each has its own");

    // It goes on with what is its own, from where it said.
    let in_own =
        |position: &u64| own.contains(&bus.options.partitions.of_subject(&format!("pump-{}", position % 7)));
    let wanted: Vec<u64> = (1..=20_000).filter(in_own).collect();
    let mut read = Vec::new();
    while read.len() < wanted.len() {
        match timeout(DEADLINE, idle.next()).await?? {
            Delivery::Assigned(assignment) => anyhow::bail!("once more: {:?}", assignment.partitions),
            Delivery::Records(records) => {
                read.extend(records.into_values().flatten().filter_map(|record| record.envelope.position));
            }
        }
    }
    read.sort_unstable();
    assert_eq!(read, wanted, "none twice, none of others");
    Ok(())
}
