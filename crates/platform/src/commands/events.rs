//! `cornjacket events`: what is in the log.

mod tail;

use clap::{Args, Subcommand};
use cornjacket_proto::admin::ReplayEventsRequest;
use cornjacket_proto::events::Event;
use cornjacket_proto::query::{GetEventRequest, ListEventsRequest, TailEventsRequest};
use futures::StreamExt;
use prost::Message;

use super::client::{Server, told};
use super::{progress, timeline};
use crate::config::Settings;
use crate::telemetry;

/// Flags of `cornjacket events`.
#[derive(Debug, Args)]
pub struct Events {
    #[command(flatten)]
    server: Server,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Print events as they are stored, one JSON object a line, until it is stopped. When the server goes away, it goes on
    /// where it was as soon as there is one again, and says so.
    Tail {
        #[command(flatten)]
        filter: Filter,
        /// The first position; without it, the oldest that there is.
        #[arg(long, default_value_t = 0)]
        from: u64,
    },
    /// Print one event as JSON.
    Get {
        /// Its source.
        source: String,
        /// Its id.
        id: String,
    },
    /// Print how far one event has come, and by when it was there.
    Timeline {
        /// Its source.
        source: String,
        /// Its id.
        id: String,
    },
    /// Print events that are stored, one JSON object a line.
    List {
        #[command(flatten)]
        filter: Filter,
        /// The first position.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// From the newest to the oldest.
        #[arg(long)]
        descending: bool,
        /// At most this many.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Put events on the bus once more, for consumers that are not ours: with a header that says so.
    Replay {
        #[command(flatten)]
        filter: Filter,
        /// The first position.
        #[arg(long)]
        from: u64,
        /// The last position; without it, the last one that is stored now.
        #[arg(long, default_value_t = 0)]
        until: u64,
        /// At most this many a second; without it, as fast as it goes.
        #[arg(long, default_value_t = 0)]
        rate: u32,
    },
}

#[derive(Debug, Args)]
struct Filter {
    /// Only about this subject.
    #[arg(long, default_value = "")]
    subject: String,
    /// Only of this type.
    #[arg(long = "type", default_value = "")]
    event_type: String,
}

impl Events {
    /// Asks and prints.
    pub fn run(self, settings: &Settings) -> anyhow::Result<()> {
        telemetry::block_on(&settings.log, async {
            match self.verb {
                Verb::Tail { filter, from: from_position } => {
                    let Filter { subject, event_type: r#type } = filter;
                    let request =
                        TailEventsRequest { from_position, subject, r#type, ..TailEventsRequest::default() };
                    tail::tail(&self.server, settings, request).await
                }
                Verb::Get { source, id } => get(&self.server, settings, source, id).await,
                Verb::Timeline { source, id } => timeline::run(&self.server, settings, source, id).await,
                Verb::List { filter, from, descending, limit } => {
                    let Filter { subject, event_type: r#type } = filter;
                    let request = ListEventsRequest {
                        subject,
                        r#type,
                        from_position: from,
                        descending,
                        ..ListEventsRequest::default()
                    };
                    list(&self.server, settings, request, limit).await
                }
                Verb::Replay { filter, from, until, rate } => {
                    let Filter { subject, event_type: r#type } = filter;
                    let request = ReplayEventsRequest {
                        from_position: from,
                        until_position: until,
                        subject,
                        r#type,
                        events_per_second: rate,
                    };
                    replay(&self.server, settings, request).await
                }
            }
        })
    }
}

async fn get(server: &Server, settings: &Settings, source: String, id: String) -> anyhow::Result<()> {
    let response = server
        .query(settings)
        .await?
        .get_event(GetEventRequest { id, source, ..GetEventRequest::default() })
        .await;
    let event = response.map_err(|status| told(&status))?.into_inner().event.unwrap_or_default();
    println!("{}", json(&event)?);
    Ok(())
}

/// Larger pages would wait for one another.
const PAGE: usize = 100;

async fn list(
    server: &Server,
    settings: &Settings,
    mut request: ListEventsRequest,
    limit: usize,
) -> anyhow::Result<()> {
    let mut query = server.query(settings).await?;
    let mut left = limit;
    while left > 0 {
        request.page_size = i32::try_from(left.min(PAGE))?;
        let page = query.list_events(request.clone()).await.map_err(|status| told(&status))?.into_inner();
        for event in &page.events {
            println!("{}", json(event)?);
        }
        left -= page.events.len().min(left);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    Ok(())
}

/// What a replay means for models.
const NO_NEW_SCORES: &str = "Our models pass over a replay: each sample keeps the scores of the versions that it met when it came in.";

async fn replay(server: &Server, settings: &Settings, request: ReplayEventsRequest) -> anyhow::Result<()> {
    let before = request.from_position.saturating_sub(1);
    let mut admin = server.admin_stream(settings).await?;
    let response = admin.replay_events(request).await.map_err(|status| told(&status))?;
    let mut messages = response.into_inner();
    let bar = progress::positions();
    let (mut reached, mut done) = (before, None);
    while let Some(message) = messages.next().await {
        let message = message.map_err(|status| told(&status).context(format!("replayed up to {reached}")))?;
        bar.set_length(message.until_position - before);
        bar.set_position(message.position - before);
        reached = message.position;
        done = message.done.then_some(message);
    }
    bar.finish_and_clear();
    let done = done.ok_or_else(|| anyhow::anyhow!("the call ended; replayed up to {reached}"))?;
    println!("{} events are on the bus again, as replay {}", done.published, done.replay_id);
    println!("{NO_NEW_SCORES}");
    Ok(())
}

/// The canonical JSON of an event, on one line.
fn json(event: &Event) -> anyhow::Result<String> {
    let dynamic = cornjacket_proto::decode_dynamic::<Event>(&event.encode_to_vec())?;
    Ok(serde_json::to_string(&dynamic)?)
}
