//! `cornjacket.ingest.v1.IngestService`, a file for each method.

mod append;
mod append_batch;
mod append_stream;

use cornjacket_proto::events::{Event, TraceContext};
use cornjacket_proto::ingest::ingest_service_server::{IngestService, IngestServiceServer};
use cornjacket_proto::ingest::{
    AppendBatchRequest, AppendBatchResponse, AppendRequest, AppendResponse, AppendStreamRequest,
};
use futures::stream::BoxStream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use crate::Acceptor;

/// The service, ready to be mounted on a server.
#[derive(Debug)]
pub struct IngestRpc {
    acceptor: Acceptor,
}

impl IngestRpc {
    /// The service in front of `acceptor`. `request_bytes` is the largest request that is read at all; it should be
    /// above the limit of a batch, so that a batch over its limit is refused with the field's name.
    pub fn server(acceptor: Acceptor, request_bytes: usize) -> IngestServiceServer<Self> {
        IngestServiceServer::new(Self { acceptor }).max_decoding_message_size(request_bytes)
    }
}

#[tonic::async_trait]
impl IngestService for IngestRpc {
    type AppendStreamStream = BoxStream<'static, append_stream::Item>;

    async fn append(&self, request: Request<AppendRequest>) -> Result<Response<AppendResponse>, Status> {
        append::append(&self.acceptor, request).await
    }

    async fn append_batch(
        &self,
        request: Request<AppendBatchRequest>,
    ) -> Result<Response<AppendBatchResponse>, Status> {
        append_batch::append_batch(&self.acceptor, request).await
    }

    async fn append_stream(
        &self,
        request: Request<Streaming<AppendStreamRequest>>,
    ) -> Result<Response<Self::AppendStreamStream>, Status> {
        append_stream::append_stream(self.acceptor.clone(), request)
    }
}

/// The trace of the call, for events that bring none of their own.
fn trace_of(metadata: &MetadataMap) -> Option<TraceContext> {
    let text = |name| metadata.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Some(TraceContext {
        traceparent: text("traceparent")?,
        tracestate: text("tracestate").unwrap_or_default(),
    })
}

fn adopt_trace(event: &mut Event, trace: Option<&TraceContext>) {
    if event.trace_context.is_none() {
        event.trace_context = trace.cloned();
    }
}
