//! The gateway: routes, upstreams and options, as one router.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use bytes::Bytes;
use cornjacket_proto::DESCRIPTOR_POOL;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method};
use prost::Message;
use tonic::{Code, Status};

use crate::context::CallContext;
use crate::error::BuildError;
use crate::layers;
use crate::offload::by_size;
use crate::options::Options;
use crate::problem::Problem;
use crate::routes::{Found, Routes};
use crate::transcode;
use crate::upstream::Upstream;

/// Every service as HTTP/JSON. Clones share everything.
#[derive(Clone, Debug)]
pub struct Gateway(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    options: Options,
    routes: Routes,
    upstreams: HashMap<String, Upstream>,
}

impl Gateway {
    /// From where each service is, by its full name. Requests for a service without an upstream are answered with 501.
    pub fn new(options: Options, upstreams: HashMap<String, Upstream>) -> Result<Self, BuildError> {
        layers::check(&options)?;
        let routes = Routes::new(&DESCRIPTOR_POOL)?;
        Ok(Self(Arc::new(Shared { options, routes, upstreams })))
    }

    /// The routes of the contract, as the fallback of a router: others add theirs to it. Without layers; see
    /// [`Gateway::layered`].
    pub fn router(&self) -> Router {
        let gateway = self.clone();
        Router::new().fallback(move |request: axum::extract::Request| gateway.clone().answer(request))
    }

    /// Puts what every answer needs around a router: ids of requests, CORS, compression.
    ///
    /// A layer that authenticates belongs inside, between the router and this: its refusals then have ids and CORS headers
    /// too. It finds the token in `authorization`, answers with a [`Problem`], and leaves the header as it is, since
    /// services check the token again.
    pub fn layered(&self, router: Router) -> Router {
        layers::around(router, &self.0.options)
    }

    /// The routes, for whoever describes them.
    pub fn routes(&self) -> &Routes {
        &self.0.routes
    }

    /// The options.
    pub fn options(&self) -> &Options {
        &self.0.options
    }

    /// The context of a call made for a request with these headers.
    pub fn context(&self, headers: &HeaderMap) -> Result<CallContext, Problem> {
        let options = &self.0.options;
        Ok(CallContext::new(headers, Some(options.default_timeout), Some(options.max_timeout))?)
    }

    /// Calls a method by its path, `/package.Service/Method`, with types of the contract.
    pub async fn call<Q: Message + 'static, A: Message + Default>(
        &self,
        path: &'static str,
        context: &CallContext,
        request: Q,
    ) -> Result<A, Problem> {
        let path = PathAndQuery::from_static(path);
        let request = by_size(request.encoded_len(), move || request.encode_to_vec().into()).await?;
        let answer = self.unary(path, context, request).await?;
        A::decode(answer).map_err(|error| Problem::internal(&error))
    }

    /// Calls a method with bytes, until the context's deadline.
    pub(crate) async fn unary(
        &self,
        path: PathAndQuery,
        context: &CallContext,
        request: Bytes,
    ) -> Result<Bytes, Status> {
        let upstream = self.upstream(&path)?;
        let call = upstream.unary(path, context.request(request), self.0.options.response_bytes);
        match context.deadline() {
            None => call.await.map(tonic::Response::into_inner),
            Some(deadline) => match tokio::time::timeout_at(deadline, call).await {
                Ok(answer) => answer.map(tonic::Response::into_inner).map_err(transcode::timed_out),
                Err(_) => Err(transcode::deadline_passed()),
            },
        }
    }

    /// Where the service of a method is.
    pub(crate) fn upstream(&self, path: &PathAndQuery) -> Result<&Upstream, Status> {
        let service = path.path().trim_start_matches('/').split('/').next().unwrap_or_default();
        let upstream = self.0.upstreams.get(service);
        upstream.ok_or_else(|| Status::new(Code::Unimplemented, "this service is not offered here"))
    }

    async fn answer(self, request: axum::extract::Request) -> Response {
        let (parts, body) = request.into_parts();
        // Hyper leaves out the body of an answer to HEAD.
        let method = if parts.method == Method::HEAD { Method::GET } else { parts.method.clone() };
        let answer = match self.0.routes.find(&method, parts.uri.path()) {
            Found::Route(route, captures) => transcode::answer(&self, route, &captures, &parts, body).await,
            Found::OtherMethods(methods) => Err(Problem::other_methods(&methods)),
            Found::Nothing => Err(Problem::no_such_path()),
        };
        answer.unwrap_or_else(|problem| problem.answer(&parts.headers))
    }
}
