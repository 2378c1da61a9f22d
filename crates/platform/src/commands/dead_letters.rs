//! `cornjacket dead-letters`: what could not be handled, and what is to become of it.

use clap::{Args, Subcommand};
use cornjacket_proto::admin::{
    DeadLetter, DiscardDeadLetterRequest, GetDeadLetterRequest, ListDeadLettersRequest,
    RedriveDeadLettersRequest,
};

use super::client::{Server, told};
use super::table;
use crate::config::Settings;
use crate::telemetry;

/// Flags of `cornjacket dead-letters`.
#[derive(Debug, Args)]
pub struct DeadLetters {
    #[command(flatten)]
    server: Server,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List them in order, with what each waits for.
    List(Filter),
    /// Print one, with its raw value as hexadecimal.
    Get(Place),
    /// Have keys tried again, each in the order of its records.
    Redrive {
        #[command(flatten)]
        filter: Filter,
        /// All of them; needed when nothing else is given.
        #[arg(long)]
        all: bool,
    },
    /// Give one up for ever, and let what waits behind it flow.
    Discard {
        #[command(flatten)]
        place: Place,
        /// Why; kept in the log.
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Args)]
struct Filter {
    /// Only of this consumer.
    #[arg(long, default_value = "")]
    consumer: String,
    /// Only of this topic.
    #[arg(long, default_value = "")]
    topic: String,
    /// Only of this key: the subject, for events of ours.
    #[arg(long, default_value = "")]
    key: String,
}

/// Where the record was.
#[derive(Debug, Args)]
struct Place {
    /// The consumer.
    consumer: String,
    /// The topic.
    topic: String,
    /// The partition.
    partition: u32,
    /// The offset.
    offset: u64,
}

impl DeadLetters {
    /// Does it, and prints what came of it.
    pub fn run(self, settings: &Settings) -> anyhow::Result<()> {
        telemetry::block_on(&settings.log, async {
            match self.verb {
                Verb::List(filter) => list(&self.server, settings, filter).await,
                Verb::Get(place) => get(&self.server, settings, place).await,
                Verb::Redrive { filter, all } => redrive(&self.server, settings, filter, all).await,
                Verb::Discard { place, reason } => discard(&self.server, settings, place, reason).await,
            }
        })
    }
}

async fn list(server: &Server, settings: &Settings, filter: Filter) -> anyhow::Result<()> {
    let mut admin = server.admin(settings).await?;
    let Filter { consumer, topic, key } = filter;
    let mut request = ListDeadLettersRequest { consumer, topic, key: key.into(), ..Default::default() };
    let mut letters = Vec::new();
    loop {
        let page =
            admin.list_dead_letters(request.clone()).await.map_err(|status| told(&status))?.into_inner();
        letters.extend(page.dead_letters);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    print!("{}", table::of(&HEAD, letters.iter().map(row)));
    Ok(())
}

async fn get(server: &Server, settings: &Settings, place: Place) -> anyhow::Result<()> {
    let Place { consumer, topic, partition, offset } = place;
    let request = GetDeadLetterRequest { consumer, topic, partition, offset };
    let response = server.admin(settings).await?.get_dead_letter(request).await;
    let letter = response.map_err(|status| told(&status))?.into_inner().dead_letter.unwrap_or_default();
    print!("{}", table::of(&HEAD, std::iter::once(row(&letter))));
    let hex = letter.value.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    println!("{}, {} bytes: {hex}", letter.content_type, letter.value.len());
    Ok(())
}

async fn redrive(server: &Server, settings: &Settings, filter: Filter, all: bool) -> anyhow::Result<()> {
    let Filter { consumer, topic, key } = filter;
    let request = RedriveDeadLettersRequest { consumer, topic, key: key.into(), all };
    let response = server.admin(settings).await?.redrive_dead_letters(request).await;
    let keys = response.map_err(|status| told(&status))?.into_inner().keys;
    println!("{keys} keys are tried again");
    Ok(())
}

async fn discard(server: &Server, settings: &Settings, place: Place, reason: String) -> anyhow::Result<()> {
    let Place { consumer, topic, partition, offset } = place;
    let request = DiscardDeadLetterRequest { consumer, topic, partition, offset, reason };
    let response = server.admin(settings).await?.discard_dead_letter(request).await;
    response.map_err(|status| told(&status))?;
    println!("given up");
    Ok(())
}

const HEAD: [&str; 6] = ["consumer", "place", "key", "position", "attempts", "error"];

fn row(letter: &DeadLetter) -> [String; 6] {
    let error = match (letter.error.as_str(), letter.discarded.as_str()) {
        ("", "") => "waits behind another".to_owned(),
        (error, "") => error.to_owned(),
        (_, reason) => format!("given up: {reason}"),
    };
    [
        letter.consumer.clone(),
        format!("{} {} {}", letter.topic, letter.partition, letter.offset),
        String::from_utf8_lossy(&letter.key).into_owned(),
        letter.position.to_string(),
        letter.attempts.to_string(),
        error,
    ]
}
