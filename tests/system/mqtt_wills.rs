//! What a device leaves behind when it is cut off is one event, at both brokers; after a farewell there is none.

use std::time::Duration;

use anyhow::Context;
use cornjacket_testkit::Program;
use cornjacket_testkit::device::{Login, Version};

use super::brokers::Site;

const DEADLINE: Duration = Duration::from_secs(20);
const DEVICE: &str = "pump-7";
const WILL: &str = "cornjacket/v1/pump-7/system.device_offline";
const GONE: &str = r#"{"reason": "cut off"}"#;

/// A process that is connected with a will until it is killed.
async fn is_killed(site: &Site) -> anyhow::Result<()> {
    let (folder, port) = (tempfile::tempdir()?, site.port.to_string());
    let log = folder.path().join("log");
    // Line by line: what it says is waited for.
    let program = Program::new("stdbuf")
        .args(["-oL", "mosquitto_sub", "-d", "-h", "127.0.0.1", "-p", &port, "-t", "cornjacket/v1/pump-7/+"])
        .args(["-u", DEVICE, "-P", site.password(DEVICE), "-i", DEVICE])
        .args(["--will-topic", WILL, "--will-payload", GONE, "--will-qos", "1"]);
    let mut device = program.log(&log).spawn()?;
    let answered = async || std::fs::read_to_string(&log).is_ok_and(|log| log.contains("SUBACK"));
    device.until_ready(DEADLINE, "it is subscribed", answered).await?;
    device.kill9().await
}

async fn law(site: Site) -> anyhow::Result<()> {
    is_killed(&site).await?;
    site.until_stored(1).await?;
    for (count, version) in [(2, Version::V3), (3, Version::V5)] {
        let login = Login { will: Some((WILL, GONE)), ..site.login(version, DEVICE) };
        drop(login.connect(site.port).await?.context("it is let in")?);
        site.until_stored(count).await?;
        login.connect(site.port).await?.context("it is let in")?.disconnect().await?;
    }
    // Whatever may still have come is before it.
    let mut device = site.device(DEVICE).await?;
    device.publish("cornjacket/v1/pump-7/system.device_online", 1, "{}").await?;
    device.acknowledged().await?;
    site.until_stored(4).await?;
    let events = site.events().await?;
    for event in &events[..3] {
        let said = (event.r#type.as_str(), event.subject.as_str(), event.source.as_str());
        assert_eq!(said, ("system.device_offline", DEVICE, "mqtt:pump-7"));
        assert_eq!(event.payload, events[0].payload);
    }
    assert_eq!(events[3].r#type, "system.device_online");
    assert_eq!(site.letters().await?, []);
    site.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_cut_off_leaves_one_event_at_the_broker_inside() -> anyhow::Result<()> {
    law(Site::inside(&[DEVICE]).await?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_cut_off_leaves_one_event_at_mosquitto() -> anyhow::Result<()> {
    law(Site::mosquitto(&[DEVICE]).await?).await
}
