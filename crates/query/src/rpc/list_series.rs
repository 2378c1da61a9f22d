//! `ListSeries`: the series that have samples, page by page.

use cornjacket_domain::Caller;
use cornjacket_proto::query::{ListSeriesRequest, ListSeriesResponse, ListedSeries};
use cornjacket_proto::status::Failure;
use cornjacket_store::{SeriesFilter, SeriesId};
use tokio::time::Instant;
use tonic::Request;

use super::consistency::snapshot_with;
use super::list_events::authorize_filter;
use super::query_series::{key_to_proto, maker, sample_to_proto};
use super::{QueryRpc, given, printable, store_failed};
use cornjacket_domain::page::{self, Cursor};

/// Where a page ended: at this series, whose name may be none of the caller's business.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct After {
    #[prost(int64, tag = "3")]
    series: i64,
}

pub(super) async fn list_series(
    rpc: &QueryRpc,
    deadline: Instant,
    request: Request<ListSeriesRequest>,
) -> Result<ListSeriesResponse, Failure> {
    let caller = Caller::of(request.extensions())?;
    let ListSeriesRequest { subject, page_size, page_token, consistency_token } = request.into_inner();
    printable("subject", &subject)?;
    let size = page::size(page_size)?;
    let cursor = Cursor::of(format!("series {subject:?}"));
    let after: Option<After> = cursor.read(&page_token)?;
    let subject = given(subject);
    caller.authorize_states()?;
    authorize_filter(&caller, subject.as_deref().unwrap_or_default())?;
    let subjects: Vec<&str> = subject.as_deref().into_iter().collect();
    let mut snapshot = snapshot_with(rpc, deadline, &maker(rpc, &subjects), &consistency_token).await?;
    let filter = SeriesFilter {
        subject: subject.as_deref(),
        since: rpc.oldest_sample(),
        after: after.map(|after| SeriesId(after.series)),
        limit: size,
    };
    let listed = snapshot.list_series(&filter).await.map_err(|error| store_failed(&error))?;
    let full = listed.len() == size as usize;
    let last = listed.last().filter(|_| full).map(|last| After { series: last.id.0 });
    let series = listed.into_iter().filter(|listed| caller.authorize_subject(&listed.key.subject).is_ok());
    Ok(ListSeriesResponse {
        series: series
            .map(|listed| ListedSeries {
                key: Some(key_to_proto(listed.key)),
                unit: listed.unit,
                last: Some(sample_to_proto(listed.last)),
            })
            .collect(),
        next_page_token: last.map(|last| cursor.write(&last)).unwrap_or_default(),
    })
}
