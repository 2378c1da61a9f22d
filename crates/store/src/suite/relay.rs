//! The laws of [`RelayCheckpoint`], which only PostgreSQL has.

use std::time::Duration;

use super::Backend;
use super::fixtures::clock;
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
