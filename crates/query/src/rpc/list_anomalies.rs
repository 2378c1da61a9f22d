//! `ListAnomalies`: what detectors found, page by page.
//!
//! Anomalies are events like all others: they are read from the log by their type, for which it has an index, and what was
//! asked for is picked out of them. A page reads as many as it should take, at the rate at which those before were wanted. What
//! goes beyond a short first part takes turns with other questions that read much; a page that has taken half of its
//! caller's time, or looked at [`MOST`], ends where it is, and the next one goes on there.

mod parts;

use cornjacket_domain::{Caller, SeriesKey};
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::{AnomalyDetected, Event};
use cornjacket_proto::query::{ListAnomaliesRequest, ListAnomaliesResponse};
use cornjacket_proto::status::Failure;
use cornjacket_store::{Range, Snapshot};
use tokio::time::Instant;
use tonic::Request;

use self::parts::Parts;
use super::consistency::snapshot_of_log;
use super::list_events::{After, Window, authorize_filter, for_caller, select, window};
use super::there::{find_series, has_series, missing};
use super::{QueryRpc, store_failed};
use cornjacket_domain::page::{self, Cursor};

const TYPE: &str = "ai.anomaly_detected";
/// Anomalies that are looked at for one page.
const MOST: usize = 10_000;

pub(super) async fn list_anomalies(
    rpc: &QueryRpc,
    deadline: Instant,
    request: Request<ListAnomaliesRequest>,
) -> Result<ListAnomaliesResponse, Failure> {
    let caller = Caller::of(request.extensions())?;
    let mut request = request.into_inner();
    authorize_filter(&caller, &request.subject)?;
    let size = page::size(request.page_size)?;
    request.page_size = 0;
    let (token, consistency_token) =
        (std::mem::take(&mut request.page_token), std::mem::take(&mut request.consistency_token));
    let cursor = Cursor::of(prost::Message::encode_to_vec(&request));
    let page = Page { rpc, deadline, caller, request, consistency_token };
    let after: Option<After> = cursor.read(&token)?;
    let is_first = after.is_none();
    let (anomalies, last) = page.read(size, after).await?;
    if is_first && anomalies.is_empty() && last.is_none() {
        page.check_names().await?;
    }
    let next_page_token = last.map(|position| cursor.write(&After { position })).unwrap_or_default();
    Ok(ListAnomaliesResponse { anomalies, next_page_token })
}

/// What a page is of.
struct Page<'a> {
    rpc: &'a QueryRpc,
    deadline: Instant,
    caller: Caller,
    request: ListAnomaliesRequest,
    consistency_token: String,
}

impl Page<'_> {
    /// The page's anomalies, and the position at which it ends when there may be more.
    async fn read(&self, size: u32, after: Option<After>) -> Result<(Vec<Event>, Option<u64>), Failure> {
        let began = Instant::now();
        let enough = began + self.deadline.saturating_duration_since(began) / 2;
        let mut snapshot = self.snapshot().await?;
        let (mut parts, mut turn) = (Parts::new(size), None);
        while let Some(limit) = parts.next(MOST) {
            if turn.is_none() && parts.looked() > 0 {
                drop(snapshot);
                turn = Some(self.rpc.turns.next(self.deadline, self.rpc.log.watch()).await?);
                snapshot = self.snapshot().await?;
            } else if let Some(turn) = &mut turn {
                turn.next_part().await;
            }
            let after = parts.last().map(|position| After { position }).or(after);
            self.read_part(snapshot.as_mut(), limit, after, &mut parts).await?;
            if Instant::now() > enough {
                break;
            }
        }
        Ok(parts.end())
    }

    /// Where nothing was found, that may be because what was asked for is not there. Models that are not registered may have found
    /// something, too: where they did, this is not asked.
    async fn check_names(&self) -> Result<(), Failure> {
        let ListAnomaliesRequest { subject, metric, model, .. } = &self.request;
        let mut snapshot = self.snapshot().await?;
        let oldest = self.rpc.oldest_sample();
        if !subject.is_empty() && !metric.is_empty() {
            let key = SeriesKey { subject: subject.clone(), metric: metric.clone() };
            find_series(snapshot.as_mut(), &key, ("subject", "metric"), oldest).await?;
        } else if !subject.is_empty() && !has_series(snapshot.as_mut(), subject, oldest).await? {
            return Err(missing("subject", &format!("there is no series of {subject:?}")));
        }
        if model.is_empty() {
            return Ok(());
        }
        let names = snapshot.model_names().await.map_err(|error| store_failed(&error))?;
        if names.iter().any(|known| known.name == *model) {
            return Ok(());
        }
        Err(missing("model", &format!("there is no model {model:?}, and nothing that it found")))
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, Failure> {
        snapshot_of_log(self.rpc, self.deadline, &self.consistency_token).await
    }

    async fn read_part(
        &self,
        snapshot: &mut dyn Snapshot,
        limit: u32,
        after: Option<After>,
        parts: &mut Parts<Event>,
    ) -> Result<(), Failure> {
        let request = &self.request;
        let times = Window {
            from_position: 0,
            start: request.start_time.as_ref(),
            end: request.end_time.as_ref(),
            descending: !request.oldest_first,
        };
        let (low, high) = window(snapshot, &times, after).await?;
        let select = select(request.subject.clone(), TYPE.to_owned());
        let range = Range { after: low, until: high, select, descending: times.descending, limit };
        let stored = snapshot.read(&range).await.map_err(|error| store_failed(&error))?;
        parts.begin(limit, stored.len());
        for one in &stored {
            if parts.is_full() {
                break;
            }
            let event = for_caller(&self.caller, one).transpose()?;
            parts.look_at(one.position, wanted(request, &self.caller, event));
        }
        Ok(())
    }
}

/// The event, if it is asked for, and of a series that the caller may know of.
fn wanted(request: &ListAnomaliesRequest, caller: &Caller, event: Option<Event>) -> Option<Event> {
    let event = event?;
    let Some(Payload::AnomalyDetected(anomaly)) = &event.payload else { return None };
    let AnomalyDetected { metric, model, severity, series_subject, .. } = anomaly;
    let is_wanted = (request.metric.is_empty() || request.metric == *metric)
        && (request.model.is_empty() || request.model == *model)
        && *severity >= request.min_severity
        && caller.authorize_subject(series_subject).is_ok();
    is_wanted.then_some(event)
}
