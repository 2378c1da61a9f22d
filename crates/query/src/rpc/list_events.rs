//! `ListEvents`: events by subject, type, position or time, page by page.

use cornjacket_domain::{Caller, StoredEvent, Timestamp};
use cornjacket_proto::events::Event;
use cornjacket_proto::query::{ListEventsRequest, ListEventsResponse};
use cornjacket_proto::status::Failure;
use cornjacket_store::{Range, Select, Snapshot};
use tokio::time::Instant;
use tonic::Request;

use super::consistency::snapshot_of_log;
use super::{QueryRpc, decode, given, invalid, store_failed};
use cornjacket_domain::page::{self, Cursor};

/// Pages that turn out to have more events take turns.
const NARROW: u32 = 100;

/// Where a page ended: at this position.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct After {
    /// Which.
    #[prost(uint64, tag = "1")]
    pub position: u64,
}

pub(super) async fn list_events(
    rpc: &QueryRpc,
    deadline: Instant,
    request: Request<ListEventsRequest>,
) -> Result<ListEventsResponse, Failure> {
    let caller = Caller::of(request.extensions())?;
    let mut request = request.into_inner();
    authorize_filter(&caller, &request.subject)?;
    let size = page::size(request.page_size)?;
    let (token, filter) = (std::mem::take(&mut request.page_token), filter_of(&request));
    let cursor = Cursor::of(filter);
    let after: Option<After> = cursor.read(&token)?;
    let consistency_token = std::mem::take(&mut request.consistency_token);
    let mut snapshot = snapshot_of_log(rpc, deadline, &consistency_token).await?;
    let mut range = range(snapshot.as_mut(), request, size.min(NARROW), after).await?;
    let mut stored = snapshot.read(&range).await.map_err(|error| store_failed(&error))?;
    let mut _turn = None;
    if size > NARROW && stored.len() == NARROW as usize {
        drop(snapshot);
        _turn = Some(rpc.turns.next(deadline, rpc.log.watch()).await?);
        range.limit = size;
        snapshot = snapshot_of_log(rpc, deadline, &consistency_token).await?;
        stored = snapshot.read(&range).await.map_err(|error| store_failed(&error))?;
    }
    let last = stored.last().filter(|_| stored.len() == size as usize);
    let next_page_token =
        last.map(|last| cursor.write(&After { position: last.position })).unwrap_or_default();
    let events = stored.iter().filter_map(|stored| for_caller(&caller, stored));
    Ok(ListEventsResponse { events: events.collect::<Result<_, _>>()?, next_page_token })
}

/// What a page token is good for: all that decides which events are listed, and in which order.
fn filter_of(request: &ListEventsRequest) -> Vec<u8> {
    let filter = ListEventsRequest {
        page_size: 0,
        page_token: String::new(),
        consistency_token: String::new(),
        ..request.clone()
    };
    prost::Message::encode_to_vec(&filter)
}

async fn range(
    snapshot: &mut dyn Snapshot,
    request: ListEventsRequest,
    limit: u32,
    after: Option<After>,
) -> Result<Range, Failure> {
    let times = Window {
        from_position: request.from_position,
        start: request.start_time.as_ref(),
        end: request.end_time.as_ref(),
        descending: request.descending,
    };
    let (low, high) = window(snapshot, &times, after).await?;
    let select = select(request.subject, request.r#type);
    Ok(Range { after: low, until: high, select, descending: request.descending, limit })
}

/// What part of the log is asked for.
pub(super) struct Window<'a> {
    /// The first position.
    pub from_position: u64,
    /// The first time of storing.
    pub start: Option<&'a prost_types::Timestamp>,
    /// The first that is too late.
    pub end: Option<&'a prost_types::Timestamp>,
    /// From the newest to the oldest.
    pub descending: bool,
}

/// The position before the first and the last one that are left to be listed.
pub(super) async fn window(
    snapshot: &mut dyn Snapshot,
    wanted: &Window<'_>,
    after: Option<After>,
) -> Result<(u64, u64), Failure> {
    let mut low = wanted.from_position.saturating_sub(1);
    let mut high = u64::MAX;
    if let Some(start) = time("start_time", wanted.start)? {
        low = low.max(snapshot.position_before(start).await.map_err(|error| store_failed(&error))?);
    }
    if let Some(end) = time("end_time", wanted.end)? {
        high = snapshot.position_before(end).await.map_err(|error| store_failed(&error))?;
    }
    match after {
        Some(After { position }) if wanted.descending => high = high.min(position.saturating_sub(1)),
        Some(After { position }) => low = low.max(position),
        None => {}
    }
    Ok((low, high))
}

pub(crate) fn time(field: &str, time: Option<&prost_types::Timestamp>) -> Result<Option<Timestamp>, Failure> {
    let read =
        |time| Timestamp::from_proto(time).ok_or_else(|| invalid(field, "is out of range", "OUT_OF_RANGE"));
    time.map(read).transpose()
}

pub(crate) fn select(subject: String, event_type: String) -> Select {
    Select { subject: given(subject), event_type: given(event_type) }
}

/// The event, if the caller may read it.
pub(super) fn for_caller(caller: &Caller, stored: &StoredEvent) -> Option<Result<Event, Failure>> {
    caller.authorize_subject(&stored.subject).ok()?;
    let event = decode(stored);
    event.map(|event| caller.may_read(&event.subject, &event.source).then_some(event)).transpose()
}

/// What a caller may not see at all is not an empty list.
pub(crate) fn authorize_filter(caller: &Caller, subject: &str) -> Result<(), Failure> {
    if subject.is_empty() { Ok(()) } else { caller.authorize_subject(subject) }
}
