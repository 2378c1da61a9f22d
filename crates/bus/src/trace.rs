//! Joining traces: what is done with an event belongs to the trace of what caused it (OpenTelemetry's semantic
//! conventions for messaging: a batch links to the contexts in which its messages were made, a single message has its
//! own as parent).

use cornjacket_proto::events::TraceContext;
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// As many causes as a span names; OpenTelemetry drops what is beyond.
const MOST_LINKS: usize = 128;

/// Joins `span` to the traces of the events that it is about. It must not have been entered, nor asked for its context: a span that
/// has begun has its parent for good.
pub fn join<'a>(span: &Span, causes: impl Iterator<Item = &'a TraceContext>) {
    if span.is_disabled() {
        return;
    }
    let mut contexts: Vec<SpanContext> = causes.filter_map(span_context).take(MOST_LINKS).collect();
    contexts.dedup();
    if let [only] = contexts.as_slice() {
        let parent = Context::new().with_remote_span_context(only.clone());
        // Fails where no traces are exported, and then links are nothing either.
        if span.set_parent(parent).is_ok() {
            return;
        }
    }
    for context in contexts {
        span.add_link(context);
    }
}

/// The `traceparent` that whoever is asked for something within `span` is given; nothing where no traces are exported.
pub fn traceparent(span: &Span) -> Option<String> {
    let context = span.context();
    let context = context.span().span_context().clone();
    let (trace, id, flags) = (context.trace_id(), context.span_id(), context.trace_flags().to_u8());
    context.is_valid().then(|| format!("00-{trace}-{id}-{flags:02x}"))
}

/// Reads `traceparent` (W3C Trace Context, version 00).
fn span_context(trace: &TraceContext) -> Option<SpanContext> {
    let mut parts = trace.traceparent.split('-');
    let (version, trace_id, span_id, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if (trace_id.len(), span_id.len(), flags.len()) != (32, 16, 2) {
        return None;
    }
    let context = SpanContext::new(
        TraceId::from_hex(trace_id).ok()?,
        SpanId::from_hex(span_id).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?),
        true,
        TraceState::default(),
    );
    (version != "ff" && context.is_valid()).then_some(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_names_trace_and_span() {
        let trace =
            |traceparent: &str| TraceContext { traceparent: traceparent.into(), ..TraceContext::default() };
        let good = trace("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        let context = span_context(&good).expect("the example of the specification");
        assert_eq!(context.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(context.is_sampled());
        for bad in ["", "00-1-2-01", "00-00000000000000000000000000000000-00f067aa0ba902b7-01", "é"] {
            assert_eq!(span_context(&trace(bad)), None, "{bad}");
        }
    }
}
