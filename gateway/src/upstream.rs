//! Where a service is: in this process, or behind an address. Calls are the same.

use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http::uri::PathAndQuery;
use http_body::Body as HttpBody;
use hyper::rt::{Read, Write};
use tonic::client::Grpc;
use tonic::transport::Endpoint;
use tonic::{Request, Response, Status, Streaming};
use tower::util::{BoxCloneSyncService, ServiceExt};
use tower::{BoxError, Service};

use crate::codec::BytesCodec;
use crate::error::BuildError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A dead connection is noticed within this and [`KEEPALIVE_TIMEOUT`].
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// With tonic's status as error: a boxed error is where rustc loses track of lifetimes in `async`.
type Boxed = BoxCloneSyncService<http::Request<tonic::body::Body>, http::Response<tonic::body::Body>, Status>;

/// A service that answers gRPC calls.
#[derive(Clone, Debug)]
pub struct Upstream(Boxed);

impl Upstream {
    /// In this process: tonic's `Routes`, or any service like it.
    pub fn in_process<S, B>(service: S) -> Self
    where
        S: Service<http::Request<tonic::body::Body>, Response = http::Response<B>>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let service = service
            .map_response(|response: http::Response<B>| response.map(tonic::body::Body::new))
            .map_err(|error: S::Error| Status::from_error(error.into()));
        Self(BoxCloneSyncService::new(service))
    }

    /// Behind an address such as `http://ingest:8080`. Connects when it is first called, and again when it was cut.
    pub fn remote(uri: &str) -> Result<Self, BuildError> {
        Ok(Self::in_process(endpoint(uri)?.connect_lazy()))
    }

    /// The same over connections of the caller's own making, such as with TLS.
    pub fn remote_over<C>(uri: &str, connector: C) -> Result<Self, BuildError>
    where
        C: Service<Uri, Future: Send> + Send + 'static,
        C::Response: Read + Write + Send + Unpin,
        BoxError: From<C::Error> + Send,
    {
        let channel = endpoint(uri)?.connect_with_connector_lazy(connector);
        Ok(Self::in_process(channel))
    }

    /// Calls a method with one request and one response, both encoded. Dropping the call cancels it.
    pub async fn unary(
        &self,
        path: PathAndQuery,
        request: Request<Bytes>,
        largest: usize,
    ) -> Result<Response<Bytes>, Status> {
        self.ready(largest).await?.unary(request, path, BytesCodec).await
    }

    /// Calls a method that answers with a stream.
    pub async fn server_streaming(
        &self,
        path: PathAndQuery,
        request: Request<Bytes>,
        largest: usize,
    ) -> Result<Response<Streaming<Bytes>>, Status> {
        self.ready(largest).await?.server_streaming(request, path, BytesCodec).await
    }

    async fn ready(&self, largest: usize) -> Result<Grpc<Boxed>, Status> {
        let mut grpc = Grpc::new(self.0.clone()).max_decoding_message_size(largest);
        grpc.ready().await?;
        Ok(grpc)
    }
}

fn endpoint(uri: &str) -> Result<Endpoint, BuildError> {
    let endpoint = Endpoint::from_shared(uri.to_owned())
        .map_err(|error| BuildError::Option { option: "upstream", problem: format!("`{uri}`: {error}") })?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true))
}
