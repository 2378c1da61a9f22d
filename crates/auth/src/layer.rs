//! Authentication around a gRPC server's services.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use cornjacket_domain::{Caller, Clock};
use cornjacket_proto::status::{ErrorKind, Failure};
use futures::FutureExt;
use futures::future::BoxFuture;
use http::header::WWW_AUTHENTICATE;
use http::request::Parts;
use http::{Extensions, HeaderValue, Request, Response};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::transport::server::TcpConnectInfo;
use tower::Layer;

use crate::Authenticator;
use crate::access::{self, Access};
use crate::expiry::{End, RequestBody, ResponseBody};

/// What `www-authenticate` says to a caller that is not known (RFC 6750, section 3).
pub const CHALLENGE: &str = "Bearer realm=\"cornjacket\"";

/// The address of a caller, in a request's extensions: put there by whoever knows better than the connection, such as
/// a gateway behind a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// Makes [`Authenticated`] services.
#[derive(Clone, Debug)]
pub struct AuthLayer {
    authenticator: Option<Authenticator>,
    open_health: bool,
}

impl AuthLayer {
    /// With no authenticator, everybody may do everything. With `open_health`, health and reflection need no token.
    pub const fn new(authenticator: Option<Authenticator>, open_health: bool) -> Self {
        Self { authenticator, open_health }
    }

    /// Who calls, if they may call this; nobody where nobody has to say.
    async fn admit(&self, head: &Parts) -> Result<Option<Caller>, Failure> {
        let Some(authenticator) = &self.authenticator else {
            return Ok(Some(Caller::allow_all()));
        };
        let access = access::needed(head.uri.path());
        if self.open_health && access == Access::Public {
            return Ok(None);
        }
        let client = client_address(&head.extensions);
        let caller = authenticator.authenticate(&head.headers, client).await?;
        access.allow(&caller)?;
        Ok(Some(caller))
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = Authenticated<S>;

    fn layer(&self, inner: S) -> Authenticated<S> {
        Authenticated { inner, layer: self.clone() }
    }
}

/// A service that only callers reach who may, with a [`Caller`] in the request's extensions. Streams end with the
/// caller's token.
#[derive(Clone, Debug)]
pub struct Authenticated<S> {
    inner: S,
    layer: AuthLayer,
}

impl<S> Service<Request<Body>> for Authenticated<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The one that is ready is called; the clone gets ready in its place.
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        let layer = self.layer.clone();
        async move {
            let (mut head, body) = request.into_parts();
            // Whoever put one there has not checked it for us.
            head.extensions.remove::<Caller>();
            match layer.admit(&head).await {
                Ok(caller) => {
                    let request = Request::from_parts(head, body);
                    call(inner, request, caller, layer.authenticator.as_ref()).await
                }
                Err(failure) => Ok(refuse(failure)),
            }
        }
        .boxed()
    }
}

async fn call<S>(
    mut inner: S,
    mut request: Request<Body>,
    caller: Option<Caller>,
    authenticator: Option<&Authenticator>,
) -> Result<Response<Body>, Infallible>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let expires = caller.as_ref().and_then(Caller::expires);
    if let Some(caller) = caller {
        request.extensions_mut().insert(caller);
    }
    let (Some(expires), Some(authenticator)) = (expires, authenticator) else {
        return inner.call(request).await;
    };
    let end = || End::new(Arc::<dyn Clock>::clone(authenticator.clock()), expires);
    let request = request.map(|body| Body::new(RequestBody::new(body, end())));
    let response = inner.call(request).await?;
    Ok(response.map(|body| Body::new(ResponseBody::new(body, end()))))
}

fn client_address(extensions: &Extensions) -> Option<IpAddr> {
    let said = extensions.get::<ClientAddress>().map(|address| address.0);
    let connected = || extensions.get::<TcpConnectInfo>()?.remote_addr().map(|address| address.ip());
    said.or_else(connected)
}

fn refuse(failure: Failure) -> Response<Body> {
    let is_challenge = failure.kind() == ErrorKind::Unauthenticated;
    let mut response = Status::from(failure).into_http();
    if is_challenge {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
    }
    response
}

#[cfg(test)]
mod tests;
