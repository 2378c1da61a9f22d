//! What is around every answer: ids, CORS, compression.

use axum::Router;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Method};
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate, SizeAbove};
use tower_http::compression::{CompressionLayer, CompressionLevel};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use crate::context::{self, REQUEST_ID};
use crate::error::BuildError;
use crate::options::Options;

/// Below it, compressing costs more than sending.
const COMPRESSED_FROM: u64 = 1_024;
const METHODS: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
const ALLOWED: [&str; 8] = [
    "authorization",
    "idempotency-key",
    "last-event-id",
    "request-timeout",
    "grpc-timeout",
    "traceparent",
    "tracestate",
    "x-request-id",
];

/// Says early which option is none.
pub(crate) fn check(options: &Options) -> Result<(), BuildError> {
    for origin in &options.cors_origins {
        if HeaderValue::from_str(origin).is_err() {
            let problem = format!("`{}` is no origin", origin.escape_debug());
            return Err(BuildError::Option { option: "cors_origins", problem });
        }
    }
    Ok(())
}

pub(crate) fn around(router: Router, options: &Options) -> Router {
    // Messages of a stream must not wait for a block of the compressor to be full.
    let predicate = DefaultPredicate::new()
        .and(SizeAbove::new(COMPRESSED_FROM))
        .and(NotForContentType::const_new("application/x-ndjson"));
    let compression = CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(predicate);
    let router = router.layer(compression);
    let router = if options.cors_origins.is_empty() { router } else { router.layer(cors(options)) };
    // Outermost, so that answers of the other layers have ids too.
    router.layer(axum::middleware::from_fn(context::identify))
}

fn cors(options: &Options) -> CorsLayer {
    let all = options.cors_origins.iter().any(|origin| origin == "*");
    let origins = options.cors_origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
    let headers = ALLOWED.into_iter().map(HeaderName::from_static).chain([CONTENT_TYPE]);
    CorsLayer::new()
        .allow_origin(if all { AllowOrigin::any() } else { AllowOrigin::list(origins) })
        .allow_methods(METHODS)
        .allow_headers(AllowHeaders::list(headers))
        .expose_headers([REQUEST_ID, RETRY_AFTER])
}
