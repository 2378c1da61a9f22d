//! `/livez`, `/readyz` and `/metrics`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Json;
use axum::routing::get;
use cornjacket_store::EventLog;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::stages::Stages;

/// A store that takes longer than this to answer is not ready.
const PATIENCE: Duration = Duration::from_secs(1);

/// What readiness depends on.
#[derive(Clone, Debug)]
pub struct Readiness(pub Arc<dyn EventLog>);

impl Readiness {
    /// Nothing when the store answers, else why not.
    pub async fn check(&self) -> Result<(), String> {
        match timeout(PATIENCE, self.0.head()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(format!("store: {error}")),
            Err(_) => Err(format!("store: no answer within {PATIENCE:?}")),
        }
    }
}

/// The listener for operators and orchestrators.
pub fn router(readiness: Readiness, stages: Stages, metrics: PrometheusHandle) -> axum::Router {
    axum::Router::new()
        .route("/livez", get(async || "ok"))
        .route("/readyz", get(readyz).with_state((readiness, stages)))
        .route("/metrics", get(async move || metrics.render()))
}

/// Whether this process can answer; with `?verbose` also how its stages are, which is none of an orchestrator's business.
async fn readyz(
    State((readiness, stages)): State<(Readiness, Stages)>,
    RawQuery(query): RawQuery,
) -> (StatusCode, Json<Value>) {
    let (status, reasons) = match readiness.check().await {
        Ok(()) => (StatusCode::OK, vec![]),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, vec![reason]),
    };
    let mut answer = json!({"ready": reasons.is_empty(), "reasons": reasons});
    if query.is_some_and(|query| query.split('&').any(|word| word.split('=').next() == Some("verbose"))) {
        answer["stages"] = stages.as_json();
    }
    (status, Json(answer))
}
