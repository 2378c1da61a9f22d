//! The least of MQTT that a device needs. Written out, since the order of acknowledgements is the point, and since no client
//! library sends what a stranger sends.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// MQTT 3.1.1.
    V3 = 4,
    /// MQTT 5: answers say why.
    V5 = 5,
}

/// Who connects, and how. The session is kept, as long as the broker does without being asked.
#[derive(Clone, Copy, Debug)]
pub struct Login<'a> {
    /// What is spoken.
    pub version: Version,
    /// Names the session.
    pub client_id: &'a str,
    /// The account.
    pub user: Option<&'a str>,
    /// Its password.
    pub password: Option<&'a str>,
    /// Topic and payload of what the broker publishes, with `QoS` 1, when the connection ends without a farewell.
    pub will: Option<(&'a str, &'a str)>,
}

impl<'a> Login<'a> {
    /// A device whose session has its name.
    #[must_use]
    pub const fn new(version: Version, name: &'a str, password: &'a str) -> Self {
        Self { version, client_id: name, user: Some(name), password: Some(password), will: None }
    }

    /// Connects to a broker on this machine; nobody when it refuses the login.
    pub async fn connect(&self, port: u16) -> anyhow::Result<Option<Device>> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let mut device = Device { stream, version: self.version };
        device.send(0x10, &self.packet()?).await?;
        let Some((kind, answer)) = device.receive().await? else { return Ok(None) };
        ensure!(kind == 0x20 && answer.len() >= 2, "no CONNACK: {kind:#x} {answer:?}");
        Ok((answer[1] == 0).then_some(device))
    }

    fn packet(&self) -> anyhow::Result<Vec<u8>> {
        let flag = |is_there: bool, flag: u8| if is_there { flag } else { 0 };
        // A will of QoS 1 has a flag for each.
        let flags = flag(self.user.is_some(), 0x80)
            | flag(self.password.is_some(), 0x40)
            | flag(self.will.is_some(), 0x0c);
        // Keep alive of a minute.
        let mut packet = [&b"\x00\x04MQTT"[..], &[self.version as u8, flags, 0, 60]].concat();
        self.version.no_properties(&mut packet);
        let mut texts = vec![self.client_id];
        if let Some((topic, payload)) = self.will {
            texts.extend([topic, payload]);
        }
        texts.extend(self.user.iter().chain(&self.password));
        for (at, one) in texts.into_iter().enumerate() {
            if at == 1 && self.will.is_some() {
                self.version.no_properties(&mut packet);
            }
            text(&mut packet, one)?;
        }
        Ok(packet)
    }
}

/// What a broker says of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has arrived: its packet id.
    Acknowledged(u16),
    /// It has not, for this reason.
    Refused(u8),
    /// The connection is over.
    Cut,
}

/// A device that is connected to a broker on this machine. Dropping it ends the connection without a farewell.
#[derive(Debug)]
pub struct Device {
    stream: TcpStream,
    version: Version,
}

impl Device {
    /// Connects with MQTT 3.1.1, without a clean session.
    pub async fn connect(port: u16, name: &str, password: &str) -> anyhow::Result<Self> {
        Login::new(Version::V3, name, password).connect(port).await?.context("not connected")
    }

    /// Publishes with `QoS` 1, and waits for nothing.
    pub async fn publish(&mut self, topic: &str, packet_id: u16, payload: &str) -> anyhow::Result<()> {
        let mut body = Vec::new();
        text(&mut body, topic)?;
        body.extend(packet_id.to_be_bytes());
        self.version.no_properties(&mut body);
        body.extend(payload.as_bytes());
        self.send(0x32, &body).await
    }

    /// Waits for a PUBACK: its packet id.
    pub async fn acknowledged(&mut self) -> anyhow::Result<u16> {
        match self.answer().await? {
            Answer::Acknowledged(id) => Ok(id),
            other => bail!("no PUBACK: {other:?}"),
        }
    }

    /// What becomes of a message.
    pub async fn answer(&mut self) -> anyhow::Result<Answer> {
        match self.receive().await? {
            // Without a reason it is a good one, which some go beyond: nobody is subscribed, say.
            Some((0x40, body)) if body.len() >= 2 => match body.get(2) {
                Some(reason @ 0x80..) => Ok(Answer::Refused(*reason)),
                _ => Ok(Answer::Acknowledged(u16::from_be_bytes([body[0], body[1]]))),
            },
            // MQTT 5 says why before it hangs up.
            Some((0xe0, _)) | None => Ok(Answer::Cut),
            Some((kind, body)) => bail!("no PUBACK: {kind:#x} {body:?}"),
        }
    }

    /// Subscribes with `QoS` 1: whether it may.
    pub async fn subscribe(&mut self, filter: &str) -> anyhow::Result<bool> {
        let mut body = vec![0, 1];
        self.version.no_properties(&mut body);
        text(&mut body, filter)?;
        body.push(1);
        self.send(0x82, &body).await?;
        match self.receive().await? {
            Some((0x90, body)) => Ok(body.last().is_some_and(|reason| *reason < 0x80)),
            Some((0xe0, _)) | None => Ok(false),
            Some((kind, body)) => bail!("no SUBACK: {kind:#x} {body:?}"),
        }
    }

    /// The topics of the messages that came before the answer to a ping.
    pub async fn heard(&mut self) -> anyhow::Result<Vec<String>> {
        self.send(0xc0, &[]).await?;
        let mut topics = Vec::new();
        loop {
            let (kind, body) = self.receive().await?.context("the connection is over")?;
            match kind {
                0xd0 => return Ok(topics),
                0x30..=0x3f if body.len() >= 2 => {
                    let end = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
                    let topic = body.get(2..end).context("a topic that is cut off")?;
                    topics.push(String::from_utf8_lossy(topic).into_owned());
                }
                _ => bail!("neither a message nor PINGRESP: {kind:#x} {body:?}"),
            }
        }
    }

    /// Says farewell: there is no will then.
    pub async fn disconnect(mut self) -> anyhow::Result<()> {
        self.send(0xe0, &[]).await?;
        self.ends().await
    }

    /// The connection ends, and nothing comes before that.
    pub async fn ends(&mut self) -> anyhow::Result<()> {
        let mut rest = Vec::new();
        // The system may say that it was reset, if there is something left that nobody read.
        let read = timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await.context("it goes on")?;
        ensure!(read.is_err() || rest.is_empty(), "something came: {rest:?}");
        Ok(())
    }

    async fn send(&mut self, kind: u8, body: &[u8]) -> anyhow::Result<()> {
        let (low, high) = (u8::try_from(body.len() % 128)?, u8::try_from(body.len() / 128)?);
        let mut packet = if high == 0 { vec![kind, low] } else { vec![kind, low | 0x80, high] };
        packet.extend(body);
        Ok(self.stream.write_all(&packet).await?)
    }

    /// A packet: its first byte and its body. Nothing when the connection is over.
    async fn receive(&mut self) -> anyhow::Result<Option<(u8, Vec<u8>)>> {
        let receive = async {
            let kind = self.stream.read_u8().await?;
            let (mut length, mut shift) = (0, 0);
            loop {
                let byte = self.stream.read_u8().await?;
                length |= usize::from(byte & 0x7f) << shift;
                shift += 7;
                if byte < 0x80 || shift == 28 {
                    break;
                }
            }
            let mut body = vec![0; length];
            self.stream.read_exact(&mut body).await?;
            std::io::Result::Ok((kind, body))
        };
        Ok(timeout(PATIENCE, receive).await.context("no answer")?.ok())
    }
}

impl Version {
    /// MQTT 5 has properties in most packets; a device has none to tell.
    fn no_properties(self, packet: &mut Vec<u8>) {
        packet.extend((self == Self::V5).then_some(0));
    }
}

fn text(packet: &mut Vec<u8>, text: &str) -> anyhow::Result<()> {
    packet.extend(u16::try_from(text.len())?.to_be_bytes());
    packet.extend(text.as_bytes());
    Ok(())
}
