//! A consumer that stores nothing.

use std::time::Duration;

use anyhow::Context;
use tokio::time::timeout;

use super::device::{Link, PUBACK, text};

const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;
const PUBLISH: u8 = 0x30;
const QOS_1: u8 = 1;
const PATIENCE: Duration = Duration::from_secs(20);

/// A subscriber to all devices.
#[derive(Debug)]
pub struct Sink(Link);

impl Sink {
    /// Subscribes at QoS 1.
    pub async fn subscribe(port: u16) -> anyhow::Result<Self> {
        let mut link = Link::connect(port, "sink").await?;
        let mut body = vec![0, 1];
        text(&mut body, "cornjacket/v1/#");
        body.push(QOS_1);
        link.send(SUBSCRIBE, &body).await?;
        let (kind, body) = link.receive().await?;
        anyhow::ensure!(kind == SUBACK && body.last() == Some(&QOS_1), "not subscribed: {kind:#x} {body:?}");
        Ok(Self(link))
    }

    /// Acknowledges as many messages.
    pub async fn take(mut self, messages: usize) -> anyhow::Result<()> {
        for _ in 0..messages {
            let (kind, body) =
                timeout(PATIENCE, self.0.receive()).await.context("no more messages come")??;
            anyhow::ensure!(kind & 0xf0 == PUBLISH, "no PUBLISH: {kind:#x}");
            let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
            self.0.put(PUBACK, &body[2 + topic..4 + topic]).await?;
            if !self.0.has_more() {
                self.0.flush().await?;
            }
        }
        self.0.flush().await
    }
}
