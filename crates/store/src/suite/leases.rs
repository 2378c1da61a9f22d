//! The laws of [`Leases`](crate::Leases).

use std::time::Duration;

use super::fixtures::clock;
use super::{Backend, laws};

laws!(
    one_has_a_lease_until_it_is_over_or_given_back,
    who_lost_a_lease_cannot_keep_it,
    a_lease_is_by_its_name,
);

const LONG: Duration = Duration::from_mins(1);
const OVER_AT_ONCE: Duration = Duration::ZERO;

async fn one_has_a_lease_until_it_is_over_or_given_back(backend: Backend) -> anyhow::Result<()> {
    let leases = backend.open(clock()).await?.leases;
    let first = leases.claim("x", "first", LONG).await?.expect("nobody has it");
    assert_eq!(leases.claim("x", "second", LONG).await?, None);
    leases.release("x", first).await?;
    let second = leases.claim("x", "second", OVER_AT_ONCE).await?.expect("given back");
    let third = leases.claim("x", "third", LONG).await?.expect("over");
    assert!(first < second && second < third);
    Ok(())
}

async fn who_lost_a_lease_cannot_keep_it(backend: Backend) -> anyhow::Result<()> {
    let leases = backend.open(clock()).await?.leases;
    let first = leases.claim("x", "first", OVER_AT_ONCE).await?.expect("nobody has it");
    assert!(leases.keep("x", first, OVER_AT_ONCE).await?, "over, but nobody else wanted it");
    let second = leases.claim("x", "second", LONG).await?.expect("over");
    assert!(!leases.keep("x", first, LONG).await?);
    leases.release("x", first).await?;
    assert!(leases.keep("x", second, LONG).await?, "what is another's is not given back");
    leases.release("x", second).await?;
    assert!(!leases.keep("x", second, LONG).await?, "it was given back");
    Ok(())
}

async fn a_lease_is_by_its_name(backend: Backend) -> anyhow::Result<()> {
    let leases = backend.open(clock()).await?.leases;
    assert!(leases.claim("x", "one", LONG).await?.is_some());
    assert!(leases.claim("y", "other", LONG).await?.is_some());
    Ok(())
}
