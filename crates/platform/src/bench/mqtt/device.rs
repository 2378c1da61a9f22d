//! A device: as much of MQTT 3.1.1 as it takes to publish, so that the client costs little.

use std::collections::VecDeque;

use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::Instant;
use uuid::Uuid;

use crate::bench::load::Latencies;

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
/// At QoS 1.
const PUBLISH: u8 = 0x32;
/// An acknowledgement.
pub const PUBACK: u8 = 0x40;

/// A connection to a broker on this machine.
#[derive(Debug)]
pub struct Link {
    reader: BufReader<OwnedReadHalf>,
    writer: BufWriter<OwnedWriteHalf>,
}

impl Link {
    /// Connects, with a clean session and a user name that is the client's own.
    pub async fn connect(port: u16, name: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        let mut link = Self { reader: BufReader::new(reader), writer: BufWriter::new(writer) };
        // Protocol, level 4; user name, clean session; no keep alive.
        let mut body = b"\x00\x04MQTT\x04\x82\x00\x00".to_vec();
        for _ in ["client id", "user name"] {
            text(&mut body, name);
        }
        link.send(CONNECT, &body).await?;
        let (kind, answer) = link.receive().await?;
        anyhow::ensure!(kind == CONNACK && answer.get(1) == Some(&0), "not connected: {kind:#x} {answer:?}");
        Ok(link)
    }

    /// Sends a packet, with all that waits.
    pub async fn send(&mut self, kind: u8, body: &[u8]) -> anyhow::Result<()> {
        self.put(kind, body).await?;
        Ok(self.writer.flush().await?)
    }

    /// Sends a packet with the next that is sent.
    pub async fn put(&mut self, kind: u8, body: &[u8]) -> anyhow::Result<()> {
        self.writer.write_u8(kind).await?;
        let mut left = body.len();
        loop {
            let seven = u8::try_from(left % 128)?;
            left /= 128;
            self.writer.write_u8(if left > 0 { seven | 0x80 } else { seven }).await?;
            if left == 0 {
                break;
            }
        }
        Ok(self.writer.write_all(body).await?)
    }

    /// Sends what waits.
    pub async fn flush(&mut self) -> anyhow::Result<()> {
        Ok(self.writer.flush().await?)
    }

    /// The next packet: its first byte and its body.
    pub async fn receive(&mut self) -> anyhow::Result<(u8, Vec<u8>)> {
        let kind = self.reader.read_u8().await?;
        let (mut length, mut shift) = (0_usize, 0);
        loop {
            let byte = self.reader.read_u8().await?;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).await?;
        Ok((kind, body))
    }

    /// Whether something more has come already.
    pub fn has_more(&self) -> bool {
        !self.reader.buffer().is_empty()
    }
}

/// Appends a text with its length.
pub fn text(body: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).expect("short names");
    body.extend(length.to_be_bytes());
    body.extend(text.as_bytes());
}

/// Publishes `count` readings, of which up to `window` are unacknowledged, and waits for the last acknowledgement: how long
/// each took.
pub async fn publish(port: u16, name: String, window: usize, count: usize) -> anyhow::Result<Histogram<u64>> {
    let mut link = Link::connect(port, &name).await?;
    let (mut latencies, mut waiting, mut sent) = (Latencies::default(), VecDeque::new(), 0);
    while sent < count || !waiting.is_empty() {
        while sent < count && waiting.len() < window {
            sent += 1;
            // 1 to 65535.
            let packet = u16::try_from(sent % 65_535 + 1)?;
            link.put(PUBLISH, &reading(&name, packet)).await?;
            waiting.push_back((packet, Instant::now()));
        }
        link.flush().await?;
        while !waiting.is_empty() {
            acknowledged(&mut link, &mut waiting, &mut latencies).await?;
            if !link.has_more() {
                break;
            }
        }
    }
    Ok(latencies.into_histogram())
}

/// Brokers acknowledge in order.
async fn acknowledged(
    link: &mut Link,
    waiting: &mut VecDeque<(u16, Instant)>,
    latencies: &mut Latencies,
) -> anyhow::Result<()> {
    let (kind, body) = link.receive().await?;
    let first = waiting.pop_front();
    let expected = first.map(|(packet, _)| packet.to_be_bytes().to_vec());
    anyhow::ensure!(
        kind == PUBACK && Some(&body) == expected.as_ref(),
        "no PUBACK in order: {kind:#x} {body:?}"
    );
    latencies.extend(first.map(|(_, at)| at.elapsed()));
    Ok(())
}

fn reading(name: &str, packet: u16) -> Vec<u8> {
    let mut body = Vec::with_capacity(256);
    text(&mut body, &format!("cornjacket/v1/{name}/sensor.reading"));
    body.extend(packet.to_be_bytes());
    let id = Uuid::now_v7();
    let measurements = format!(r#"[{{"metric":"temperature","value":{}.5,"unit":"Cel"}}]"#, packet % 100);
    body.extend(format!(r#"{{"id":"{id}","measurements":{measurements}}}"#).as_bytes());
    body
}
