//! `cornjacket silences`: what is not told for a while.

use std::time::Duration;

use clap::{Args, Subcommand};
use cornjacket_domain::{Clock, SystemClock};
use cornjacket_proto::actions::silence::Matcher;
use cornjacket_proto::actions::silence::matcher::Field;
use cornjacket_proto::actions::{CreateSilenceRequest, EndSilenceRequest, ListSilencesRequest, Silence};

use super::client::{Server, told};
use super::{pages, table};
use crate::config::Settings;
use crate::telemetry;

/// Flags of `cornjacket silences`.
#[derive(Debug, Args)]
pub struct Silences {
    #[command(flatten)]
    server: Server,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Have what matches all of these not told from now on, for so long.
    Add(Add),
    /// List the silences, also those that are over.
    List,
    /// End a silence now.
    End {
        /// Its name.
        name: String,
    },
}

#[derive(Debug, Args)]
struct Add {
    /// Its name.
    name: String,
    /// For how long, such as `2h`.
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    span: Duration,
    /// Why.
    #[arg(long)]
    comment: String,
    #[command(flatten)]
    matchers: Matchers,
}

/// Patterns in which `*` stands for any text.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Matchers {
    /// Events about these subjects.
    #[arg(long, value_name = "PATTERN")]
    subject: Option<String>,
    /// Events of these types.
    #[arg(long = "type", value_name = "PATTERN")]
    event_type: Option<String>,
    /// Events from these sources.
    #[arg(long, value_name = "PATTERN")]
    source: Option<String>,
    /// What these rules tell.
    #[arg(long, value_name = "PATTERN")]
    rule: Option<String>,
    /// What matters so much: `info`, `warning`, `error` or `critical`.
    #[arg(long, value_name = "PATTERN")]
    severity: Option<String>,
}

impl Matchers {
    fn to_proto(&self) -> Vec<Matcher> {
        let all = [
            (Field::Subject, &self.subject),
            (Field::Type, &self.event_type),
            (Field::Source, &self.source),
            (Field::Rule, &self.rule),
            (Field::Severity, &self.severity),
        ];
        let matcher = |(field, pattern): (Field, &Option<String>)| {
            Some(Matcher { field: field.into(), pattern: pattern.clone()?, negated: false })
        };
        all.into_iter().filter_map(matcher).collect()
    }
}

impl Silences {
    /// Does it, and prints what came of it.
    pub fn run(self, settings: &Settings) -> anyhow::Result<()> {
        telemetry::block_on(&settings.log, async {
            match self.verb {
                Verb::Add(silence) => add(&self.server, settings, silence).await,
                Verb::List => list(&self.server, settings).await,
                Verb::End { name } => end(&self.server, settings, name).await,
            }
        })
    }
}

async fn add(server: &Server, settings: &Settings, add: Add) -> anyhow::Result<()> {
    let silence = Silence {
        name: add.name,
        matchers: add.matchers.to_proto(),
        end_time: Some((SystemClock.now() + add.span).to_proto()),
        comment: add.comment,
        ..Silence::default()
    };
    let request = CreateSilenceRequest { silence: Some(silence) };
    let made =
        server.actions(settings).await?.create_silence(request).await.map_err(|status| told(&status))?;
    let made = made.into_inner().silence.unwrap_or_default();
    println!("{}: until {}", made.name, made.end_time.unwrap_or_default());
    Ok(())
}

async fn list(server: &Server, settings: &Settings) -> anyhow::Result<()> {
    let actions = server.actions(settings).await?;
    let silences = pages::all(async |page_token| {
        let request = ListSilencesRequest { page_size: pages::SIZE, page_token };
        let page = actions.clone().list_silences(request).await?.into_inner();
        Ok((page.silences, page.next_page_token))
    });
    let silences = silences.await?;
    let head = ["silence", "from", "until", "what", "by", "why"];
    print!("{}", table::of(&head, silences.into_iter().map(row)));
    Ok(())
}

fn row(silence: Silence) -> [String; 6] {
    let matcher = |one: &Matcher| {
        let field = one.field().as_str_name().trim_start_matches("FIELD_").to_lowercase();
        format!("{field} {}{}", if one.negated { "not " } else { "" }, one.pattern)
    };
    let what = silence.matchers.iter().map(matcher).collect::<Vec<_>>().join(", ");
    [
        silence.name,
        silence.start_time.unwrap_or_default().to_string(),
        silence.end_time.unwrap_or_default().to_string(),
        what,
        silence.author,
        silence.comment,
    ]
}

async fn end(server: &Server, settings: &Settings, name: String) -> anyhow::Result<()> {
    let request = EndSilenceRequest { name };
    let ended = server.actions(settings).await?.end_silence(request).await.map_err(|status| told(&status))?;
    let ended = ended.into_inner().silence.unwrap_or_default();
    println!("{}: ended at {}", ended.name, ended.end_time.unwrap_or_default());
    Ok(())
}
