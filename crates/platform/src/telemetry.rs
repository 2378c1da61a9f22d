//! Logs and traces.
//!
//! Logs go to standard error, as JSON with trace ids, or for eyes on a terminal. Traces are exported as the standard
//! `OTEL_*` variables say, and not at all until one of them names an endpoint.

use std::io::IsTerminal;

use anyhow::Context;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Subscriber;
use tracing_subscriber::filter::{EnvFilter, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::LogFormat;

/// Endpoints by which OpenTelemetry is switched on (the OpenTelemetry specification's exporter variables).
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];

/// Runs `main` on a runtime with logs and traces on, and lets the last traces out at the end.
pub fn block_on<T>(
    settings: &crate::config::LogSettings,
    main: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let traces = init(settings)?;
        let result = main.await;
        if let Some(traces) = traces
            && let Err(error) = traces.shutdown()
        {
            tracing::warn!(%error, "the last traces were not exported");
        }
        result
    })
}

fn init(settings: &crate::config::LogSettings) -> anyhow::Result<Option<SdkTracerProvider>> {
    let filter = EnvFilter::try_new(&settings.level).context("log.level")?;
    let traces = ENDPOINTS.iter().any(|name| std::env::var_os(name).is_some()).then(exporter).transpose()?;
    let pretty = match settings.format {
        LogFormat::Pretty => true,
        LogFormat::Json => false,
        LogFormat::Auto => std::io::stderr().is_terminal(),
    };
    let registry = tracing_subscriber::registry().with(traces.as_ref().map(trace_layer));
    if pretty {
        let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
        registry.with(layer.with_filter(filter)).try_init()?;
    } else {
        let layer = json_subscriber::fmt::layer().with_writer(std::io::stderr).flatten_event(true);
        registry.with(layer.with_opentelemetry_ids(true).with_filter(filter)).try_init()?;
    }
    Ok(traces)
}

fn exporter() -> anyhow::Result<SdkTracerProvider> {
    let exporter = opentelemetry_otlp::SpanExporter::builder().with_tonic().build()?;
    let resource = opentelemetry_sdk::Resource::builder().with_service_name("cornjacket").build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

/// Only our own spans: those of the exporter's own connection would be exported as well, without end.
fn trace_layer<S: Subscriber + for<'a> LookupSpan<'a>>(
    provider: &SdkTracerProvider,
) -> impl Layer<S> + use<S> {
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("cornjacket"))
        .with_filter(Targets::new().with_target("cornjacket", tracing::Level::INFO))
}
