//! `cornjacket anomalies`: what detectors found.

use clap::Args;
use cornjacket_domain::Timestamp;
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::{AnomalyDetected, Event};
use cornjacket_proto::query::{ListAnomaliesRequest, ListAnomaliesResponse};
use prost::Message;

use super::client::{Server, told};
use super::table;
use crate::config::Settings;
use crate::telemetry;

/// Flags of `cornjacket anomalies`.
#[derive(Debug, Args)]
pub struct Anomalies {
    #[command(flatten)]
    server: Server,
    /// Only of series of this subject.
    #[arg(long, default_value = "")]
    subject: String,
    /// Only of series of this metric.
    #[arg(long, default_value = "")]
    metric: String,
    /// Only those that this model found.
    #[arg(long, default_value = "")]
    model: String,
    /// At most this many: the newest.
    #[arg(long, default_value_t = 20)]
    limit: usize,
    /// Print them as JSON, as they stand in the log.
    #[arg(long)]
    json: bool,
}

impl Anomalies {
    /// Asks and prints.
    pub fn run(self, settings: &Settings) -> anyhow::Result<()> {
        telemetry::block_on(&settings.log, async {
            let json = self.json;
            let mut rows = self.ask(settings).await?;
            // They come as they were found, which is not when it was: a sample may be late.
            rows.sort_by_key(|event| std::cmp::Reverse(sampled(event)));
            if json {
                let found = ListAnomaliesResponse { anomalies: rows, ..ListAnomaliesResponse::default() };
                let json = cornjacket_proto::decode_dynamic::<ListAnomaliesResponse>(&found.encode_to_vec())?;
                println!("{}", serde_json::to_string_pretty(&json)?);
                return Ok(());
            }
            let head =
                ["TIME", "SUBJECT", "METRIC", "VALUE", "EXPECTED", "SCORE", "SEVERITY", "MODEL", "WHY", "ID"];
            print!("{}", table::of(&head, rows.iter().filter_map(row)));
            Ok(())
        })
    }

    async fn ask(self, settings: &Settings) -> anyhow::Result<Vec<Event>> {
        let mut query = self.server.query(settings).await?;
        let Self { subject, metric, model, limit, .. } = self;
        let mut request = ListAnomaliesRequest { subject, metric, model, ..ListAnomaliesRequest::default() };
        let mut found = Vec::new();
        loop {
            request.page_size = i32::try_from(limit - found.len())?;
            if request.page_size == 0 {
                return Ok(found);
            }
            let page =
                query.list_anomalies(request.clone()).await.map_err(|status| told(&status))?.into_inner();
            found.extend(page.anomalies);
            if page.next_page_token.is_empty() {
                return Ok(found);
            }
            request.page_token = page.next_page_token;
        }
    }
}

/// When that was measured with which an anomaly begins.
fn sampled(event: &Event) -> Option<Timestamp> {
    let Some(Payload::AnomalyDetected(anomaly)) = &event.payload else { return None };
    anomaly.sample_time.as_ref().and_then(Timestamp::from_proto)
}

fn row(event: &Event) -> Option<[String; 10]> {
    let Some(Payload::AnomalyDetected(anomaly)) = &event.payload else { return None };
    let time = sampled(event);
    let severity = anomaly.severity().as_str_name().trim_start_matches("SEVERITY_").to_lowercase();
    let why: Vec<_> = anomaly.contributions.iter().take(3).map(|one| one.feature.as_str()).collect();
    Some([
        time.map(|time| time.to_proto().to_string()).unwrap_or_default(),
        anomaly.series_subject.clone(),
        anomaly.metric.clone(),
        anomaly.value.to_string(),
        expected(anomaly),
        format!("{:.3}", anomaly.score),
        severity,
        format!("{}/{}", anomaly.model, anomaly.model_version),
        why.join(", "),
        event.id.clone(),
    ])
}

/// The interval that was expected, where the detector has one.
fn expected(anomaly: &AnomalyDetected) -> String {
    match (anomaly.expected_lower, anomaly.expected_upper) {
        (Some(lower), Some(upper)) => format!("{lower:.2} to {upper:.2}"),
        _ => anomaly.expected.map(|value| format!("{value:.2}")).unwrap_or_default(),
    }
}
