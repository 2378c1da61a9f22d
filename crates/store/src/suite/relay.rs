//! The laws of [`RelayCheckpoint`], which only PostgreSQL has.

use std::time::Duration;

use super::Backend;
use super::fixtures::{clock, noon};
use crate::postgres::RelayCheckpoint;

const LONG: Duration = Duration::from_mins(1);
const OVER_AT_ONCE: Duration = Duration::ZERO;

async fn open() -> anyhow::Result<RelayCheckpoint> {
    let store = Backend::postgres().await?.open(clock()).await?;
    store.relay.ok_or_else(|| anyhow::anyhow!("PostgreSQL has a relay"))
}

#[tokio::test]
async fn one_relay_works_until_its_lease_is_over_or_given_back() -> anyhow::Result<()> {
    let relay = open().await?;
    let first = relay.claim("first", LONG).await?.expect("nobody has it");
    assert_eq!(relay.claim("second", LONG).await?, None);
    relay.release(first.generation).await?;
    let second = relay.claim("second", OVER_AT_ONCE).await?.expect("given back");
    let third = relay.claim("third", LONG).await?.expect("over");
    assert!(first.generation < second.generation && second.generation < third.generation);
    Ok(())
}

#[tokio::test]
async fn who_lost_the_lease_cannot_move_the_checkpoint() -> anyhow::Result<()> {
    let relay = open().await?;
    let first = relay.claim("first", OVER_AT_ONCE).await?.expect("nobody has it");
    assert!(
        relay.advance(first.generation, 5, "five", OVER_AT_ONCE).await?,
        "over, but nobody else wanted it"
    );
    let second = relay.claim("second", LONG).await?.expect("over");
    assert_eq!((second.position, second.published.as_str()), (5, "five"));
    assert!(!relay.advance(first.generation, 9, "nine", LONG).await?);
    assert!(relay.advance(second.generation, 7, "seven", LONG).await?);
    assert_eq!(relay.position().await?, 7);
    Ok(())
}

#[tokio::test]
async fn the_checkpoint_goes_back_for_its_holder_alone() -> anyhow::Result<()> {
    let relay = open().await?;
    let first = relay.claim("first", OVER_AT_ONCE).await?.expect("nobody has it");
    assert!(relay.advance(first.generation, 5, "five", OVER_AT_ONCE).await?);
    let second = relay.claim("second", OVER_AT_ONCE).await?.expect("over");
    assert!(!relay.go_back(first.generation, 2).await?, "overtaken");
    assert!(!relay.go_back(second.generation, 9).await?, "that would be forward");
    assert!(relay.go_back(second.generation, 2).await?);
    let third = relay.claim("third", LONG).await?.expect("over");
    assert_eq!((third.position, third.published.as_str()), (2, ""), "what was where is not known any more");
    Ok(())
}

#[tokio::test]
async fn the_relay_knows_by_when_an_event_was_on_the_bus() -> anyhow::Result<()> {
    let clock = clock();
    let store = Backend::postgres().await?.open(clock.clone()).await?;
    let relay = store.relay.ok_or_else(|| anyhow::anyhow!("PostgreSQL has a relay"))?;
    let claim = relay.claim("first", LONG).await?.expect("nobody has it");
    let mut times = vec![];
    // The second and the third are of one slot; the last one moves nothing.
    for (millis, position) in [(0, 5), (1_000, 7), (100, 9), (400, 9)] {
        clock.advance(Duration::from_millis(millis));
        assert!(relay.advance(claim.generation, position, "", LONG).await?);
        times.push((position, relay.reached(position).await?));
    }
    let at = |millis| Some(noon() + Duration::from_millis(millis));
    assert_eq!(times, [(5, at(0)), (7, at(1_000)), (9, at(1_100)), (9, at(1_100))]);
    assert_eq!(relay.reached(1).await?, at(0));
    assert_eq!(relay.reached(7).await?, at(1_100), "at the latest");
    assert_eq!(relay.reached(10).await?, None);
    // An hour later its slot is another's.
    clock.advance(Duration::from_millis(3_600_000 - 1_500));
    assert!(relay.advance(claim.generation, 20, "", LONG).await?);
    assert_eq!((relay.reached(5).await?, relay.reached(9).await?), (None, at(1_100)));
    let second = relay.claim("second", LONG).await?;
    assert_eq!(second, None);
    assert!(!relay.advance(claim.generation - 1, 30, "", LONG).await?, "overtaken");
    assert_eq!(relay.reached(30).await?, None);
    Ok(())
}
