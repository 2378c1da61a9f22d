//! The laws of [`Defining`](crate::Defining) and of what a transaction sees of it.

use super::fixtures::{clock, noon};
use super::{Backend, laws};
use crate::{DefinitionKind, Definitions, Redefined, Redefinition, Store};

laws!(
    of_two_changes_to_what_both_have_seen_one_is_made,
    versions_go_on_over_a_deletion_and_secrets_do_not,
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
    let sealed = Redefinition { secret: Some(b"sealed"), ..change(0, Endpoint, Some(b"door")) };
    redefine(&store, sealed).await?;
    redefine(&store, change(1, Endpoint, Some(b"gate"))).await?;
    assert_eq!(store.defining.secret("pager").await?.as_deref(), Some(b"sealed".as_slice()));
    redefine(&store, change(2, Endpoint, None)).await?;
    assert_eq!(store.defining.secret("pager").await?, None);
    assert_eq!(store.defining.read().await?, Definitions { revision: 3, all: Vec::new() });
    redefine(&store, change(3, Endpoint, Some(b"new"))).await?;
    assert_eq!(seen(&store.defining.read().await?), [(Endpoint, 3, b"new".as_slice())]);
    assert_eq!(store.defining.secret("pager").await?, None, "of another one");
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
