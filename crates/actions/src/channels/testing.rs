//! What the tests of channels begin with: a message, and services that hold to the limits that they document.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use cornjacket_domain::Timestamp;
use cornjacket_proto::actions::{Endpoint, Severity, endpoint};
use cornjacket_proto::events::Event;
use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::SecretString;
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use super::{Channel, Telling, open};
use crate::limits::Rate;
use crate::message::{AlarmChange, Message};
use crate::outside::tests::{Receiver, hear};
use crate::testing::NOW;

/// What a rule says of a pump.
pub fn message() -> Message {
    let event = Event {
        id: "e1".into(),
        source: "devices/pump-7".into(),
        r#type: "sensor.reading".into(),
        subject: "pump-7".into(),
        position: 42,
        event_time: Some(NOW.to_proto()),
        ..Event::default()
    };
    Message {
        rule: "too-hot".into(),
        rule_version: 3,
        severity: Severity::Critical.into(),
        title: "pump-7 is too hot".into(),
        text: "91 °C\nsince noon".into(),
        event: Some(event),
        ..Message::default()
    }
}

/// The same of an alarm.
pub fn alarm(change: AlarmChange) -> Message {
    Message { alarm_key: "hot/pump-7".into(), alarm_change: change.into(), ..message() }
}

/// An attempt to tell it.
pub fn telling(message: &Message, now: Timestamp) -> Telling<'_> {
    Telling { id: "d1", message, now, deadline: Duration::from_secs(20), traceparent: None }
}

/// An endpoint with that channel.
pub fn endpoint(channel: endpoint::Channel) -> Endpoint {
    Endpoint { name: "ops".into(), channel: Some(channel), ..Endpoint::default() }
}

/// Its channel.
pub fn opened(channel: endpoint::Channel, secrets: &[SecretString]) -> anyhow::Result<Box<dyn Channel>> {
    open(&endpoint(channel), secrets).map_err(|bad| anyhow::anyhow!("{bad:?}"))
}

/// The fields of what is wrong with a channel.
pub fn fields(channel: endpoint::Channel, secrets: &[SecretString]) -> Vec<String> {
    let violations = open(&endpoint(channel), secrets).err().unwrap_or_default();
    violations.into_iter().map(|violation| violation.field).collect()
}

/// A request as it came: its first line, its fields, its body.
pub fn parted(heard: &[u8]) -> anyhow::Result<(String, HeaderMap, String)> {
    let text = std::str::from_utf8(heard)?;
    let (top, body) = text.split_once("\r\n\r\n").context("a head")?;
    let mut lines = top.lines();
    let first = lines.next().context("a first line")?.to_owned();
    let fields = lines.map(|line| {
        let (name, value) = line.split_once(": ").context("a field")?;
        Ok((name.parse::<HeaderName>()?, value.parse::<HeaderValue>()?))
    });
    Ok((first, fields.collect::<anyhow::Result<_>>()?, body.to_owned()))
}

/// An HTTP server that takes so many requests within a time, by a clock of its own, and refuses what it documents to refuse.
pub struct Service {
    /// Where it is.
    pub receiver: Receiver,
    clock: Arc<AtomicI64>,
    heard: Arc<Mutex<Heard>>,
}

/// What a service has taken and not taken.
#[derive(Clone, Default)]
pub struct Heard {
    /// Bodies that it took.
    pub taken: Vec<Value>,
    /// When.
    times: Vec<Timestamp>,
    /// Requests that were too many.
    pub too_many: usize,
}

impl Service {
    /// One that answers a body with the status line and body of `answer`.
    pub async fn new(
        rate: Rate,
        answer: impl Fn(&Value, usize) -> (&'static str, String) + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let (clock, heard) = (Arc::new(AtomicI64::new(NOW.as_micros())), Arc::<Mutex<Heard>>::default());
        let (times, taken, answer) = (clock.clone(), heard.clone(), Arc::new(answer));
        let receiver = Receiver::new(move |mut stream| {
            let (times, taken, answer) = (times.clone(), taken.clone(), answer.clone());
            async move {
                let request = hear(&mut stream).await?;
                let (_, _, body) = parted(&request).map_err(std::io::Error::other)?;
                let now = Timestamp::from_micros(times.load(Ordering::SeqCst));
                let said = {
                    let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
                    taken.answer(rate, now, &body, answer.as_ref())
                };
                stream.write_all(said.as_bytes()).await?;
                Ok(request)
            }
        });
        Ok(Self { receiver: receiver.await?, clock, heard })
    }

    /// What it has taken by now.
    pub fn heard(&self) -> Heard {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Its time.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.clock.load(Ordering::SeqCst))
    }

    /// Makes it another time.
    pub fn set(&self, now: Timestamp) {
        self.clock.store(now.as_micros(), Ordering::SeqCst);
    }
}

impl Heard {
    fn answer(
        &mut self,
        rate: Rate,
        now: Timestamp,
        body: &str,
        answer: &dyn Fn(&Value, usize) -> (&'static str, String),
    ) -> String {
        let begun: Vec<_> =
            self.times.iter().rev().filter(|time| **time > rate.forgotten_at(now)).copied().collect();
        if let Err(until) = rate.room(&begun) {
            self.too_many += 1;
            let micros = u64::try_from(until.as_micros() - now.as_micros()).expect("later");
            let seconds = micros.div_ceil(1_000_000);
            return format!(
                "HTTP/1.1 429 Too Many Requests\r\nretry-after: {seconds}\r\ncontent-length: 0\r\n\r\n"
            );
        }
        self.times.push(now);
        let json: Value = serde_json::from_str(body).unwrap_or_default();
        let (status, said) = answer(&json, body.len());
        if status.starts_with('2') {
            self.taken.push(json);
        }
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{said}", said.len())
    }
}
