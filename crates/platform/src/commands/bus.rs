//! `cornjacket bus tail`: what is on a topic, as it is there.

use std::io::{ErrorKind, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use cornjacket_bus::kafka::{KafkaReader, Look, Looked, ReadFrom};
use cornjacket_domain::Topic;
use cornjacket_proto::DynamicMessage;
use cornjacket_proto::events::Event;
use prost::Message;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::config::{BusUrl, Settings};
use crate::telemetry;
use crate::wiring;

/// Flags of `cornjacket bus`.
#[derive(Debug, Args)]
pub struct Bus {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Print the records of a topic, one JSON object a line, whichever format they have; those that are no events with
    /// the reason and their bytes in Base64. Takes part in no consumer group.
    Tail {
        /// The topic, such as `sensor-events`, without `bus.topic_prefix`.
        #[arg(value_parser = topic)]
        topic: Topic,
        /// Where to begin in each partition: `beginning`, `end` or an offset.
        #[arg(long, default_value = "beginning", value_name = "PLACE", value_parser = begin)]
        from: ReadFrom,
        /// Wait for more at the end, until it is stopped.
        #[arg(long)]
        follow: bool,
        /// At most this many.
        #[arg(long, value_name = "RECORDS")]
        limit: Option<u64>,
    },
}

fn topic(name: &str) -> Result<Topic, String> {
    let names = Topic::ALL.map(Topic::name).join(", ");
    Topic::from_name(name).ok_or_else(|| format!("must be one of {names}"))
}

fn begin(text: &str) -> Result<ReadFrom, String> {
    match text {
        "beginning" => Ok(ReadFrom::Beginning),
        "end" => Ok(ReadFrom::End),
        offset => {
            let offset = offset.parse().map_err(|_| "must be `beginning`, `end` or an offset")?;
            Ok(ReadFrom::Offset(offset))
        }
    }
}

impl Bus {
    /// Reads and prints.
    pub fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let Verb::Tail { topic, from: begin, follow, limit } = self.verb;
        let BusUrl::Kafka(servers) = settings.bus_url()? else {
            anyhow::bail!(
                "bus.url: is embedded:, where the log itself is the bus; see `cornjacket events tail`, or set \
                 kafka://host:port"
            );
        };
        let security = wiring::security(settings);
        let look =
            Look { servers, security, prefix: settings.bus.topic_prefix.clone(), topic, begin, follow };
        telemetry::block_on(&settings.log, tail(look, limit.unwrap_or(u64::MAX)))
    }
}

async fn tail(look: Look, limit: u64) -> anyhow::Result<()> {
    let mut reader = KafkaReader::new(look).await?;
    let mut output = std::io::stdout();
    for _ in 0..limit {
        let Some(looked) = reader.next().await? else { break };
        let line = serde_json::to_string(&Line::of(&looked))?;
        match writeln!(output, "{line}").and_then(|()| output.flush()) {
            // Whoever read it has seen enough: `head`, say.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => break,
            written => written?,
        }
    }
    Ok(())
}

/// A record, as it is printed.
#[derive(Debug, Serialize)]
struct Line<'a> {
    topic: &'static str,
    partition: u16,
    offset: u64,
    key: Value,
    /// Of several of one name, the last.
    headers: Map<String, Value>,
    format: &'static str,
    #[serde(flatten)]
    content: Content<'a>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Event {
        event: Box<DynamicMessage>,
    },
    Undecodable {
        error: String,
        #[serde(serialize_with = "base64")]
        value: &'a [u8],
    },
}

impl<'a> Line<'a> {
    fn of(Looked { record, headers }: &'a Looked) -> Self {
        let content = record.decode().map_err(|error| error.to_string()).and_then(|delivered| {
            let event = cornjacket_proto::decode_dynamic::<Event>(&delivered.event.encode_to_vec());
            Ok(Content::Event { event: Box::new(event.map_err(|error| error.to_string())?) })
        });
        Line {
            topic: record.at.topic.name(),
            partition: record.at.partition,
            offset: record.offset,
            key: text(&record.key),
            headers: headers.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
            format: record.envelope.format.content_type(),
            content: content.unwrap_or_else(|error| Content::Undecodable { error, value: &record.value }),
        }
    }
}

/// Bytes that should be text: as text, or else as `{"base64": …}`.
fn text(bytes: &[u8]) -> Value {
    std::str::from_utf8(bytes).map_or_else(|_| json!({"base64": STANDARD.encode(bytes)}), Value::from)
}

fn base64<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_topics_are_read_or_explained() {
        assert_eq!(begin("beginning"), Ok(ReadFrom::Beginning));
        assert_eq!(begin("end"), Ok(ReadFrom::End));
        assert_eq!(begin("17"), Ok(ReadFrom::Offset(17)));
        assert!(begin("-1").is_err());
        assert_eq!(topic("user-actions"), Ok(Topic::UserActions));
        assert!(topic("x").is_err_and(|why| why.contains("sensor-events")));
    }

    #[test]
    fn bytes_that_are_no_text_are_not_lost() {
        assert_eq!(text(b"pump-7"), json!("pump-7"));
        assert_eq!(text(b"\xff\x00"), json!({"base64": "/wA="}));
    }
}
