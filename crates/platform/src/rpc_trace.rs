//! A span and a measurement for every call.
//!
//! The span continues the caller's trace, and takes the caller's place in the request's `traceparent`: what the call
//! stores and sends names it as its cause (W3C Trace Context).

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::LazyLock;
use std::task::{Context, Poll};
use std::time::Instant;

use futures::FutureExt;
use futures::future::BoxFuture;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tower::Layer;
use tracing::{Instrument, Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Every method of the contract, as the path of its calls. Others may be called too, but are not told apart.
static METHODS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let services = cornjacket_proto::DESCRIPTOR_POOL.services();
    let paths = services.flat_map(|service| {
        let name = service.full_name().to_owned();
        service.methods().map(move |method| format!("/{name}/{}", method.name())).collect::<Vec<_>>()
    });
    paths.collect()
});

/// Makes [`Traced`] services.
#[derive(Clone, Copy, Debug)]
pub struct TraceLayer {
    /// Whether calls have spans; they are measured in any case.
    pub spans: bool,
}

impl<S> Layer<S> for TraceLayer {
    type Service = Traced<S>;

    fn layer(&self, inner: S) -> Traced<S> {
        Traced { inner, spans: self.spans }
    }
}

/// A service whose calls are measured and have spans.
#[derive(Clone, Debug)]
pub struct Traced<S> {
    inner: S,
    spans: bool,
}

impl<S> Service<Request<Body>> for Traced<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let method = METHODS.get(request.uri().path()).map_or("other", |path| &path[1..]);
        let span = if self.spans { start_span(method, request.headers_mut()) } else { Span::none() };
        let started = Instant::now();
        // Called within the span, so that what it spawns can tell its cause.
        let answering = span.in_scope(|| self.inner.call(request));
        let measured = async move {
            let response = answering.await?;
            // A call that fails says so at once; a stream that fails later has begun well.
            let code = response.headers().get("grpc-status").and_then(|code| code.to_str().ok());
            let code = code.and_then(|code| code.parse().ok()).unwrap_or(0_i32);
            Span::current().record("rpc.grpc.status_code", code);
            let code = tonic::Code::from_i32(code);
            metrics::histogram!("cornjacket_rpc_seconds", "method" => method, "code" => format!("{code:?}"))
                .record(started.elapsed());
            Ok(response)
        };
        measured.instrument(span).boxed()
    }
}

fn start_span(method: &'static str, headers: &mut HeaderMap) -> Span {
    let span = tracing::error_span!(
        "rpc",
        otel.name = method,
        otel.kind = "server",
        rpc.system = "grpc",
        rpc.grpc.status_code = field::Empty
    );
    let propagator = TraceContextPropagator::new();
    // Fails where no traces are exported: then the headers stay as they are.
    if span.set_parent(propagator.extract(&Headers(headers))).is_ok() {
        propagator.inject_context(&span.context(), &mut HeadersMut(headers));
    }
    span
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct HeadersMut<'a>(&'a mut HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_methods_of_the_contract_are_known() {
        assert!(METHODS.contains("/cornjacket.ingest.v1.IngestService/AppendBatch"));
    }
}
