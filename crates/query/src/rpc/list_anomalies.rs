//! `ListAnomalies`: what detectors found, page by page.
//!
//! Anomalies are events like all others, and rare: they are read from the log by their type, and what was asked for is picked
//! out of them.

use cornjacket_domain::Caller;
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::{AnomalyDetected, Event};
use cornjacket_proto::query::{ListAnomaliesRequest, ListAnomaliesResponse};
use cornjacket_proto::status::Failure;
use cornjacket_store::Range;
use tokio::time::Instant;
use tonic::Request;

use super::consistency::snapshot_of_log;
use super::list_events::{After, Window, authorize_filter, for_caller, select, window};
use super::{QueryRpc, store_failed};
use crate::page::{self, Cursor};

const TYPE: &str = "ai.anomaly_detected";
/// Anomalies that are looked at for one page.
const MOST: u32 = 1_000;

pub(super) async fn list_anomalies(
    rpc: &QueryRpc,
    deadline: Instant,
    request: Request<ListAnomaliesRequest>,
) -> Result<ListAnomaliesResponse, Failure> {
    let caller = Caller::of(request.extensions())?;
    let mut request = request.into_inner();
    authorize_filter(&caller, &request.subject)?;
    let size = page::size(request.page_size)? as usize;
    request.page_size = 0;
    let (token, consistency_token) =
        (std::mem::take(&mut request.page_token), std::mem::take(&mut request.consistency_token));
    let cursor = Cursor::of(prost::Message::encode_to_vec(&request));
    let after: Option<After> = cursor.read(&token)?;
    let mut snapshot = snapshot_of_log(rpc, deadline, &consistency_token).await?;
    let times = Window {
        from_position: 0,
        start: request.start_time.as_ref(),
        end: request.end_time.as_ref(),
        descending: !request.oldest_first,
    };
    let (low, high) = window(snapshot.as_mut(), &times, after).await?;
    let select = select(request.subject.clone(), TYPE.to_owned());
    let range = Range { after: low, until: high, select, descending: times.descending, limit: MOST };
    let stored = snapshot.read(&range).await.map_err(|error| store_failed(&error))?;
    let (mut anomalies, mut last) = (Vec::new(), None);
    for one in &stored {
        if anomalies.len() == size {
            break;
        }
        last = Some(one.position);
        anomalies.extend(wanted(&request, &caller, for_caller(&caller, one).transpose()?));
    }
    let is_more = stored.len() == MOST as usize || last != stored.last().map(|last| last.position);
    let next = last.filter(|_| is_more).map(|position| cursor.write(&After { position }));
    Ok(ListAnomaliesResponse { anomalies, next_page_token: next.unwrap_or_default() })
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
