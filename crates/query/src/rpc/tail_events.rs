//! `TailEvents`: history from a position, then what comes, without a seam.

use std::collections::VecDeque;
use std::time::Duration;

use cornjacket_domain::{Caller, StoredEvent};
use cornjacket_proto::query::tail_events_response::Message;
use cornjacket_proto::query::{CaughtUp, TailEventsRequest, TailEventsResponse};
use cornjacket_proto::status::Failure;
use cornjacket_store::{Select, Tail};
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::time::Instant;
use tonic::{Request, Status};

use super::consistency::require_epoch;
use super::list_events::{authorize_filter, for_caller, select};
use super::oldest::{dropped, require_there};
use super::{QueryRpc, invalid, store_failed};
use cornjacket_domain::page::Cursor;

/// Events that are read at once.
const CHUNK: u32 = 500;
/// While nothing matches, the caller is told how far it has come no more often than this.
const MARKER_EVERY: Duration = Duration::from_secs(1);

pub(super) type Item = Result<TailEventsResponse, Status>;

/// Where a stream was.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Place {
    #[prost(uint32, tag = "1")]
    epoch: u32,
    #[prost(uint64, tag = "2")]
    position: u64,
}

pub(super) async fn tail_events(
    rpc: &QueryRpc,
    request: Request<TailEventsRequest>,
) -> Result<BoxStream<'static, Item>, Failure> {
    let caller = Caller::of(request.extensions())?;
    let TailEventsRequest { from_position, resume_token, subject, r#type, consistency_token } =
        request.into_inner();
    authorize_filter(&caller, &subject)?;
    require_epoch(rpc, &consistency_token)?;
    let select = select(subject, r#type);
    let cursor = Cursor::of(format!("tail {select:?}"));
    let after = match cursor.read::<Place>(&resume_token)? {
        Some(place) if place.epoch != rpc.epoch => {
            return Err(invalid("resume_token", "is of another epoch of the log", "OTHER_EPOCH"));
        }
        Some(place) => place.position,
        None => from_position.saturating_sub(1),
    };
    if from_position > 0 || !resume_token.is_empty() {
        require_there(rpc.log.as_ref(), after.saturating_add(1)).await?;
    }
    let gapless = select == Select::all();
    let tail = Tail::new(rpc.log.clone(), after, select);
    let (ready, epoch) = (VecDeque::new(), rpc.epoch);
    let follower = Follower { tail, cursor, caller, epoch, gapless, ready, marked: None };
    Ok(futures::stream::unfold(Some(follower), |follower| async move {
        let mut follower = follower?;
        match follower.next().await {
            Ok(response) => Some((Ok(response), Some(follower))),
            Err(failure) => Some((Err(failure.into()), None)),
        }
    })
    .boxed())
}

struct Follower {
    tail: Tail,
    cursor: Cursor,
    caller: Caller,
    epoch: u32,
    /// Nothing is left out, so that a position that is missing was dropped while the caller did not listen.
    gapless: bool,
    ready: VecDeque<StoredEvent>,
    /// The last position that the caller was told it has come to, and when.
    marked: Option<(u64, Instant)>,
}

impl Follower {
    async fn next(&mut self) -> Result<TailEventsResponse, Failure> {
        loop {
            if let Some(stored) = self.ready.pop_front() {
                let Some(event) = for_caller(&self.caller, &stored) else { continue };
                // What comes now has not been told to be everything.
                self.marked = None;
                return Ok(self.response(Message::Event(event?), stored.position));
            }
            let before = self.tail.position();
            let events = self.tail.try_next(CHUNK).await.map_err(|error| store_failed(&error))?;
            if let Some(first) = events.first() {
                if self.gapless && before > 0 && first.position != before + 1 {
                    return Err(dropped(first.position));
                }
                self.ready = events.into();
                continue;
            }
            let (position, now) = (self.tail.position(), Instant::now());
            match self.marked {
                Some((told, _)) if told == position => self.tail.moved().await,
                Some((_, at)) if at + MARKER_EVERY > now => {
                    // More may come within the second, and is not to wait for it.
                    drop(tokio::time::timeout_at(at + MARKER_EVERY, self.tail.moved()).await);
                    if Instant::now() >= at + MARKER_EVERY {
                        self.marked = None;
                    }
                }
                _ => {
                    self.marked = Some((position, now));
                    return Ok(self.response(Message::CaughtUp(CaughtUp { position }), position));
                }
            }
        }
    }

    fn response(&self, message: Message, position: u64) -> TailEventsResponse {
        let resume_token = self.cursor.write(&Place { epoch: self.epoch, position });
        TailEventsResponse { message: Some(message), resume_token }
    }
}
