//! Where a model would find something in a series.

use cornjacket_domain::Timestamp;
use cornjacket_proto::query::{ScoreSeriesRequest, SeriesKey};

use crate::commands::backtest::Reference;
use crate::commands::client::{Server, told};
use crate::config::Settings;

/// The times of the samples from `start` on with which an anomaly of that model would begin.
pub(super) async fn times(
    server: &Server,
    settings: &Settings,
    key: &SeriesKey,
    model: &Reference,
    start: Timestamp,
) -> anyhow::Result<Vec<Timestamp>> {
    let mut query = server.query(settings).await?;
    let mut request = ScoreSeriesRequest {
        subject: key.subject.clone(),
        metric: key.metric.clone(),
        start_time: Some(start.to_proto()),
        model: model.name.clone(),
        version: model.version,
        page_size: 10_000,
        ..ScoreSeriesRequest::default()
    };
    let mut times = Vec::new();
    loop {
        let page = query.score_series(request.clone()).await.map_err(|status| told(&status))?.into_inner();
        let found = page.samples.iter().filter(|sample| sample.severity != 0);
        times.extend(found.filter_map(|sample| sample.time.as_ref().and_then(Timestamp::from_proto)));
        if page.next_page_token.is_empty() {
            return Ok(times);
        }
        request.page_token = page.next_page_token;
    }
}
