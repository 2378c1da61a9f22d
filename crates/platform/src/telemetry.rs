//! Logs and traces.
//!
//! Logs go to standard error, as JSON with trace ids, or for eyes on a terminal. Traces are exported as the standard
//! `OTEL_*` variables say, and not at all until one of them names an endpoint.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Context;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::LogFormat;

/// Endpoints by which OpenTelemetry is switched on (the OpenTelemetry specification's exporter variables).
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];

/// What the exporter's own connection logs and spans: exported, it would make more of itself without end.
const EXPORTERS_OWN: [&str; 5] = ["h2", "hyper", "hyper_util", "tonic", "opentelemetry"];

/// How long threads may take to end what they do: to leave a group of consumers, to close a connection.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Runs `main` on a runtime with logs and traces on, and lets the last traces out at the end.
pub fn block_on<T>(
    settings: &crate::config::LogSettings,
    main: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let traces = init(settings)?;
        let result = main.await;
        if let Some(traces) = traces
            && let Err(error) = traces.shutdown()
        {
            tracing::warn!(%error, "the last traces were not exported");
        }
        result
    });
    runtime.shutdown_timeout(LAST_WORDS);
    result
}

/// One filter for logs and traces alike. Filters of single layers lose spans whenever somebody asks whether something
/// would be logged and then does not log it. Our spans are of level ERROR, so that `log.level` does not decide about them.
fn init(settings: &crate::config::LogSettings) -> anyhow::Result<Option<SdkTracerProvider>> {
    let mut filter = EnvFilter::try_new(&settings.level).context("log.level")?;
    let traces = exports_traces().then(exporter).transpose()?;
    if traces.is_some() {
        for target in EXPORTERS_OWN {
            filter = filter.add_directive(format!("{target}=warn").parse()?);
        }
    }
    let pretty = match settings.format {
        LogFormat::Pretty => true,
        LogFormat::Json => false,
        LogFormat::Auto => std::io::stderr().is_terminal(),
    };
    let trace_layer = traces
        .as_ref()
        .map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer("cornjacket")));
    let registry = tracing_subscriber::registry().with(filter).with(trace_layer);
    if pretty {
        let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
        registry.with(layer).try_init()?;
    } else {
        let layer = json_subscriber::fmt::layer().with_writer(std::io::stderr).flatten_event(true);
        registry.with(layer.with_opentelemetry_ids(true)).try_init()?;
    }
    Ok(traces)
}

/// Whether traces go anywhere. Where they do not, calls have no spans: they would cost a tenth of a short call.
pub fn exports_traces() -> bool {
    ENDPOINTS.iter().any(|name| std::env::var_os(name).is_some())
}

fn exporter() -> anyhow::Result<SdkTracerProvider> {
    let exporter = opentelemetry_otlp::SpanExporter::builder().with_tonic().build()?;
    let resource = opentelemetry_sdk::Resource::builder().with_service_name("cornjacket").build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}
