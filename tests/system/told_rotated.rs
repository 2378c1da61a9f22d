//! A receiver changes over to a new key while it is told: nothing that comes meanwhile is refused, by a library that others wrote.

use std::path::Path;

use anyhow::Context;
use cornjacket_proto::actions::delivery::State;
use cornjacket_testkit::{Process, Program, ports, wait};
use serde_json::Value;

use super::applied::{key, says, verbs};
use super::cornjacket::{Cornjacket, stop};
use super::events::reading;
use super::full_stack::FullStack;
use super::told::{SETTINGS, SOON, make_rule, python_receiver, rule, until_all_are, verified};

/// A receiver with one key, and what it is told next.
struct Told<'a> {
    cornjacket: &'a Cornjacket,
    folder: &'a Path,
    port: u16,
}

impl Told<'_> {
    async fn listen(&self, key: &str) -> anyhow::Result<Process> {
        python_receiver(self.folder, self.port, key).await
    }

    /// Has it told of a device: how it takes that.
    async fn tell(&self, receiver: &Process, device: &str) -> anyhow::Result<Value> {
        let before = verified(receiver).len();
        self.cornjacket.append(reading(device, device, 99.0)).await?;
        let told = wait::until_some(SOON, "it is told", async || verified(receiver).into_iter().nth(before));
        told.await.with_context(|| receiver.log())
    }
}

/// Rotates as a person does: what is printed on standard output alone.
async fn rotate(verbs: &Program, arguments: &[&str]) -> anyhow::Result<String> {
    let said = says(verbs, &[&["endpoints", "rotate", "pager"], arguments].concat()).await?;
    let key = said.split_whitespace().find(|word| word.starts_with("whsec_"));
    Ok(key.with_context(|| said.clone())?.to_owned())
}

async fn a_receiver_changes_over(cornjacket: Cornjacket) -> anyhow::Result<()> {
    let (folder, port) = (tempfile::tempdir()?, ports::free_port()?);
    let process = cornjacket.start().await?;
    let verbs = verbs(&cornjacket)?;
    let first = key(&verbs, &format!("http://127.0.0.1:{port}/hook")).await?;
    make_rule(&cornjacket, rule("readings", "sensor.reading", "pager")).await?;
    let told = Told { cornjacket: &cornjacket, folder: folder.path(), port };
    let mut receiver = told.listen(&first).await?;
    let second = rotate(&verbs, &["--overlap", "1h"]).await?;
    assert_ne!(first, second);
    assert_eq!(told.tell(&receiver, "pump-1").await?["event"]["subject"], "pump-1", "with the old key");
    receiver.kill9().await?;
    let mut receiver = told.listen(&second).await?;
    assert_eq!(told.tell(&receiver, "pump-2").await?["event"]["subject"], "pump-2", "with the new key");

    // Somebody knows it: the next one signs alone at once, and what is refused meanwhile is tried again.
    let third = rotate(&verbs, &["--overlap", "0s"]).await?;
    let refused = told.tell(&receiver, "pump-3").await?;
    assert!(refused["refused"].is_string(), "{refused}");
    receiver.kill9().await?;
    let mut receiver = told.listen(&third).await?;
    until_all_are(&cornjacket, 3, State::Delivered).await?;
    let last = verified(&receiver);
    assert!(last.iter().any(|one| one["event"]["subject"] == "pump-3"), "{last:?}");
    for key in [&first, &second, &third] {
        assert!(!process.log().contains(key.as_str()), "no key is logged");
    }
    receiver.kill9().await?;
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_changes_over_embedded() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite://{}", folder.path().join("cornjacket.db").display());
    a_receiver_changes_over(Cornjacket::new(&[&[("store.url", url.as_str())], &SETTINGS[..]].concat())?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_changes_over_on_postgres_and_kafka() -> anyhow::Result<()> {
    a_receiver_changes_over(FullStack::shared().await?.cornjacket(&SETTINGS)?).await
}
