//! `ListSeries`: the series that have samples, page by page.

use cornjacket_domain::SeriesKey;
use cornjacket_proto::query::{ListSeriesRequest, ListSeriesResponse, ListedSeries};
use cornjacket_proto::status::Failure;
use cornjacket_store::SeriesFilter;
use tokio::time::Instant;
use tonic::Request;

use super::consistency::snapshot_with;
use super::list_events::may_read;
use super::query_series::{key_to_proto, maker, sample_to_proto};
use super::{QueryRpc, caller, given, printable, store_failed};
use crate::page::{self, Cursor};

/// Where a page ended: at this series.
#[derive(Clone, PartialEq, prost::Message)]
struct After {
    #[prost(string, tag = "1")]
    subject: String,
    #[prost(string, tag = "2")]
    metric: String,
}

pub(super) async fn list_series(
    rpc: &QueryRpc,
    deadline: Instant,
    request: Request<ListSeriesRequest>,
) -> Result<ListSeriesResponse, Failure> {
    let caller = caller(&request);
    let ListSeriesRequest { subject, page_size, page_token, consistency_token } = request.into_inner();
    printable("subject", &subject)?;
    let size = page::size(page_size)?;
    let cursor = Cursor::of(format!("series {subject:?}"));
    let after: Option<After> = cursor.read(&page_token)?;
    let after = after.map(|After { subject, metric }| SeriesKey { subject, metric });
    let subject = given(subject);
    let subjects: Vec<&str> = subject.as_deref().into_iter().collect();
    let mut snapshot = snapshot_with(rpc, deadline, &maker(&subjects), &consistency_token).await?;
    let filter = SeriesFilter {
        subject: subject.as_deref(),
        since: rpc.oldest_sample(),
        after: after.as_ref(),
        limit: size,
    };
    let listed = snapshot.list_series(&filter).await.map_err(|error| store_failed(&error))?;
    let last = listed
        .last()
        .filter(|_| listed.len() == size as usize)
        .map(|last| After { subject: last.key.subject.clone(), metric: last.key.metric.clone() });
    let series = listed.into_iter().filter(|listed| may_read(&caller, &listed.key.subject));
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
