//! The least of MQTT 3.1.1 that a device needs. Written out, since the order of acknowledgements is the point.

use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A device that is connected to a broker on this machine.
#[derive(Debug)]
pub struct Device(TcpStream);

impl Device {
    /// Connects, without a clean session.
    pub async fn connect(port: u16, name: &str, password: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let mut device = Self(stream);
        // Protocol, level 4; user name, password, no clean session; keep alive of a minute.
        let mut body = b"\x00\x04MQTT\x04\xc0\x00\x3c".to_vec();
        for text in [name, name, password] {
            body.extend(u16::try_from(text.len())?.to_be_bytes());
            body.extend(text.as_bytes());
        }
        device.send(0x10, &body).await?;
        let (kind, answer) = device.receive().await?;
        ensure!(kind == 0x20 && answer.get(1) == Some(&0), "not connected: {kind:#x} {answer:?}");
        Ok(device)
    }

    /// Publishes with `QoS` 1, and waits for nothing.
    pub async fn publish(&mut self, topic: &str, packet_id: u16, payload: &str) -> anyhow::Result<()> {
        let mut body = u16::try_from(topic.len())?.to_be_bytes().to_vec();
        body.extend(topic.as_bytes());
        body.extend(packet_id.to_be_bytes());
        body.extend(payload.as_bytes());
        self.send(0x32, &body).await
    }

    /// Waits for a PUBACK: its packet id.
    pub async fn acknowledged(&mut self) -> anyhow::Result<u16> {
        let (kind, body) = self.receive().await?;
        ensure!(kind == 0x40 && body.len() == 2, "no PUBACK: {kind:#x} {body:?}");
        Ok(u16::from_be_bytes([body[0], body[1]]))
    }

    /// The connection ends, and nothing comes before that.
    pub async fn ends(&mut self) -> anyhow::Result<()> {
        let mut rest = Vec::new();
        // The system may say that it was reset, if there is something left that nobody read.
        let read = timeout(PATIENCE, self.0.read_to_end(&mut rest)).await.context("it goes on")?;
        ensure!(read.is_err() || rest.is_empty(), "something came: {rest:?}");
        Ok(())
    }

    async fn send(&mut self, kind: u8, body: &[u8]) -> anyhow::Result<()> {
        let (low, high) = (u8::try_from(body.len() % 128)?, u8::try_from(body.len() / 128)?);
        let mut packet = if high == 0 { vec![kind, low] } else { vec![kind, low | 0x80, high] };
        packet.extend(body);
        Ok(self.0.write_all(&packet).await?)
    }

    /// A short packet: its first byte and its body.
    async fn receive(&mut self) -> anyhow::Result<(u8, Vec<u8>)> {
        let receive = async {
            let kind = self.0.read_u8().await?;
            let mut body = vec![0; self.0.read_u8().await?.into()];
            self.0.read_exact(&mut body).await?;
            std::io::Result::Ok((kind, body))
        };
        Ok(timeout(PATIENCE, receive).await.context("no answer")??)
    }
}
