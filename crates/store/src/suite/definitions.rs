//! The laws of [`Defining`](crate::Defining) and of what a transaction sees of it.

use std::time::Duration;

use cornjacket_domain::Timestamp;

use super::fixtures::{clock, noon};
use super::{Backend, laws};
use crate::{DefinitionKind, Definitions, MOST_FORMER_SECRETS, NewSecret, Redefined, Redefinition, Store};

laws!(
    of_two_changes_to_what_both_have_seen_one_is_made,
    versions_go_on_over_a_deletion_and_secrets_do_not,
    former_secrets_are_good_until_their_time_and_no_longer,
    of_many_former_secrets_the_last_are_good,
    secrets_of_one_endpoint_are_of_no_other,
    a_transaction_sees_what_is_defined,
);

async fn redefine(store: &Store, change: Redefinition<'_>) -> anyhow::Result<Redefined> {
    Ok(store.defining.redefine(&change).await?)
}

fn change(revision: u64, kind: DefinitionKind, bytes: Option<&[u8]>) -> Redefinition<'_> {
    let (name, by, now) = ("pager", Some("ann"), noon());
    Redefinition { revision, kind, name, bytes, secret: None, forgives: false, by, now }
}

fn seen(definitions: &Definitions) -> Vec<(DefinitionKind, u32, &[u8])> {
    definitions.all.iter().map(|one| (one.kind, one.version, one.bytes.as_slice())).collect()
}

async fn of_two_changes_to_what_both_have_seen_one_is_made(backend: Backend) -> anyhow::Result<()> {
    use DefinitionKind::{Endpoint, Rule};
    let store = backend.open(clock()).await?;
    assert_eq!(store.defining.read().await?, Definitions::default());
    assert_eq!(redefine(&store, change(0, Rule, Some(b"one"))).await?, Redefined::Done);
    assert_eq!(redefine(&store, change(0, Rule, Some(b"other"))).await?, Redefined::Moved);
    assert_eq!(redefine(&store, change(0, Endpoint, Some(b"door"))).await?, Redefined::Moved);
    assert_eq!(redefine(&store, change(1, Endpoint, Some(b"door"))).await?, Redefined::Done);
    assert_eq!(redefine(&store, change(2, Rule, Some(b"two"))).await?, Redefined::Done);
    let definitions = store.defining.read().await?;
    assert_eq!(definitions.revision, 3);
    assert_eq!(seen(&definitions), [(Endpoint, 1, b"door".as_slice()), (Rule, 2, b"two")]);
    let rule = definitions.get(Rule, "pager").expect("it was made");
    assert_eq!((rule.made.by.as_deref(), rule.made.at, rule.changed.at), (Some("ann"), noon(), noon()));
    Ok(())
}

async fn versions_go_on_over_a_deletion_and_secrets_do_not(backend: Backend) -> anyhow::Result<()> {
    use DefinitionKind::Endpoint;
    let store = backend.open(clock()).await?;
    let sealed =
        Redefinition { secret: Some(secret(b"sealed", noon())), ..change(0, Endpoint, Some(b"door")) };
    redefine(&store, sealed).await?;
    redefine(&store, change(1, Endpoint, Some(b"gate"))).await?;
    assert_eq!(good(&store, noon()).await?, ["sealed"]);
    let rotated = secret(b"another", noon() + HOUR);
    redefine(&store, Redefinition { secret: Some(rotated), ..change(2, Endpoint, Some(b"gate")) }).await?;
    assert_eq!(good(&store, noon()).await?, ["another", "sealed"]);
    redefine(&store, change(3, Endpoint, None)).await?;
    assert_eq!(good(&store, noon()).await?, [""; 0]);
    assert_eq!(store.defining.read().await?, Definitions { revision: 4, all: Vec::new() });
    redefine(&store, change(4, Endpoint, Some(b"new"))).await?;
    assert_eq!(seen(&store.defining.read().await?), [(Endpoint, 4, b"new".as_slice())]);
    assert_eq!(good(&store, noon()).await?, [""; 0], "of another one");
    Ok(())
}

const HOUR: Duration = Duration::from_hours(1);

const fn secret(sealed: &[u8], former_until: Timestamp) -> NewSecret<'_> {
    NewSecret { sealed, former_until }
}

/// Gives the endpoint a secret; those before it are good for so long.
pub(super) async fn rotate(
    store: &Store,
    sealed: &str,
    now: Timestamp,
    overlap: Duration,
) -> anyhow::Result<()> {
    let revision = store.defining.read().await?.revision;
    let secret = Some(secret(sealed.as_bytes(), now + overlap));
    let change = change(revision, DefinitionKind::Endpoint, Some(b"door"));
    assert_eq!(redefine(store, Redefinition { secret, now, ..change }).await?, Redefined::Done);
    Ok(())
}

/// The secrets of the endpoint that are good at that time.
pub(super) async fn good(store: &Store, now: Timestamp) -> anyhow::Result<Vec<String>> {
    let definitions = store.defining.read().await?;
    let version = definitions.get(DefinitionKind::Endpoint, "pager").map_or(1, |one| one.version);
    let others = store.defining.secrets("pager", version + 1, now).await?;
    assert_eq!(others, None, "of another version they may be for another place");
    let sealed = store.defining.secrets("pager", version, now).await?.unwrap_or_default();
    Ok(sealed.into_iter().map(String::from_utf8).collect::<Result<_, _>>()?)
}

async fn former_secrets_are_good_until_their_time_and_no_longer(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    rotate(&store, "1", noon(), HOUR).await?;
    rotate(&store, "2", noon(), HOUR * 3).await?;
    let later = noon() + HOUR;
    rotate(&store, "3", later, HOUR).await?;
    assert_eq!(good(&store, later).await?, ["3", "2", "1"], "the newest first");
    assert_eq!(good(&store, later + HOUR).await?, ["3"], "none outlasts what was wanted last");
    // Kept as it is, by whoever looks at another time.
    assert_eq!(good(&store, later + HOUR - Duration::from_micros(1)).await?, ["3", "2", "1"]);
    // What is over goes with the next change.
    let revision = store.defining.read().await?.revision;
    let change = change(revision, DefinitionKind::Endpoint, Some(b"gate"));
    redefine(&store, Redefinition { now: later + HOUR, ..change }).await?;
    assert_eq!(good(&store, later).await?, ["3"], "it is not kept");
    rotate(&store, "4", later, HOUR).await?;
    rotate(&store, "5", later, Duration::ZERO).await?;
    assert_eq!(good(&store, noon()).await?, ["5"], "at once is at once, for all of them");
    Ok(())
}

async fn of_many_former_secrets_the_last_are_good(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let most = usize::from(MOST_FORMER_SECRETS);
    for number in 0..most + 3 {
        rotate(&store, &number.to_string(), noon(), HOUR).await?;
    }
    let wanted: Vec<String> = (0..most + 3).rev().take(most + 1).map(|number| number.to_string()).collect();
    assert_eq!(good(&store, noon()).await?, wanted);
    Ok(())
}

async fn secrets_of_one_endpoint_are_of_no_other(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    rotate(&store, "1", noon(), HOUR).await?;
    rotate(&store, "2", noon(), HOUR).await?;
    let of = async |name: &'static str, secret: Option<NewSecret<'static>>, bytes: Option<&'static [u8]>| {
        let revision = store.defining.read().await?.revision;
        let change = change(revision, DefinitionKind::Endpoint, bytes);
        redefine(&store, Redefinition { name, secret, ..change }).await
    };
    of("mail", Some(secret(b"a", noon())), Some(b"mail")).await?;
    of("mail", Some(secret(b"b", noon())), Some(b"mail")).await?;
    of("mail", None, None).await?;
    assert_eq!(good(&store, noon()).await?, ["2", "1"]);
    Ok(())
}

async fn a_transaction_sees_what_is_defined(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let mut tx = store.offsets.begin_apart().await?;
    assert_eq!((tx.revision().await?, tx.definitions().await?), (0, Definitions::default()));
    drop(tx);
    redefine(&store, change(0, DefinitionKind::Rule, Some(b"one"))).await?;
    let mut tx = store.offsets.begin_apart().await?;
    assert_eq!(tx.revision().await?, 1);
    assert_eq!(tx.definitions().await?, store.defining.read().await?);
    Ok(())
}
