//! `cornjacket.query.v1.QueryService`, a file for each method.

mod consistency;
pub(crate) mod deadline;
pub(crate) mod fits;
pub(crate) mod get_event;
mod get_event_timeline;
mod get_forecast;
mod get_projection;
mod list_anomalies;
pub(crate) mod list_events;
mod list_projections;
mod list_series;
pub(crate) mod oldest;
mod progress;
mod query_series;
mod score_series;
mod tail_events;
pub(crate) mod there;
pub(crate) mod wide;

use std::sync::Arc;
use std::time::Duration;

use cornjacket_domain::{Caller, Clock, Partitions, RollupStep, StoredEvent, Timestamp, Topic};
use cornjacket_proto::deadline::time_left;
use cornjacket_proto::events::Event;
use cornjacket_proto::google::rpc::bad_request::FieldViolation;
use cornjacket_proto::query::query_service_server::{QueryService, QueryServiceServer};
use cornjacket_proto::query::{
    GetEventRequest, GetEventResponse, GetEventTimelineRequest, GetEventTimelineResponse, GetForecastRequest,
    GetForecastResponse, GetProjectionRequest, GetProjectionResponse, ListAnomaliesRequest,
    ListAnomaliesResponse, ListEventsRequest, ListEventsResponse, ListProjectionsRequest,
    ListProjectionsResponse, ListSeriesRequest, ListSeriesResponse, QuerySeriesRequest, QuerySeriesResponse,
    ScoreSeriesRequest, ScoreSeriesResponse, TailEventsRequest,
};
use cornjacket_proto::status::{ErrorKind, Failure};
use cornjacket_store::postgres::RelayCheckpoint;
use cornjacket_store::{Consumers, EventLog, Models, Rebuilds, Snapshots, StoreError};
use futures::stream::BoxStream;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use self::deadline::until;
pub use self::fits::Fits;
pub use self::get_forecast::{Fit, ForecastQuestion, Forecasts, NoForecast, Steps};
pub use self::progress::Progress;
pub use self::wide::Turns;

use crate::admin::Detectors;
use crate::projections::{Moment, Parameters};
use crate::replays::Replays;

/// What the methods read from.
#[derive(Clone, Debug)]
pub struct QueryRpc {
    /// The event log, which is followed.
    pub log: Arc<dyn EventLog>,
    /// Where questions are answered from.
    pub snapshots: Arc<dyn Snapshots>,
    /// Consumers, to tell how far an event has come.
    pub consumers: Arc<dyn Consumers>,
    /// Which states of a projection answer.
    pub rebuilds: Arc<dyn Rebuilds>,
    /// The relay, where there is one.
    pub relay: Option<RelayCheckpoint>,
    /// Of every topic.
    pub partitions: Partitions,
    /// The epoch of the log; tokens of another one are refused.
    pub epoch: u32,
    /// How long a call without a deadline of its own may take.
    pub default_deadline: Duration,
    /// Tells what has expired.
    pub clock: Arc<dyn Clock>,
    /// Values of states that are older have expired.
    pub keep: Duration,
    /// Samples that are older are no longer shown.
    pub keep_samples: Duration,
    /// Whose events bring samples of series.
    pub series_topics: Vec<Topic>,
    /// As when the states were made.
    pub parameters: Parameters,
    /// How far consumers were when somebody last looked.
    pub progress: Arc<Progress>,
    /// Of questions that read much.
    pub turns: Arc<Turns>,
    /// What forecasts are made with.
    pub forecasts: Arc<dyn Forecasts>,
    /// How many are made at once.
    pub fits: Arc<Fits>,
    /// Models that are registered.
    pub models: Arc<dyn Models>,
    /// What others can be made of.
    pub detectors: Arc<dyn Detectors>,
    /// What they are run with over what is stored.
    pub replays: Arc<dyn Replays>,
    /// How many are run at once.
    pub runs: Arc<Fits>,
}

impl QueryRpc {
    /// The moment at which states are looked at.
    fn moment(&self) -> Moment {
        let now = self.clock.now();
        Moment { now, oldest: now - self.keep, parameters: self.parameters }
    }

    /// Samples before this time are no longer shown. It is a whole hour, so that samples and roll-ups end at one time.
    fn oldest_sample(&self) -> Timestamp {
        RollupStep::Hour.bucket_of(self.clock.now() - self.keep_samples)
    }

    /// When the caller of a request no longer waits.
    fn deadline<T>(&self, request: &Request<T>) -> Instant {
        Instant::now() + time_left(request.metadata()).unwrap_or(self.default_deadline)
    }

    /// The service, ready to be mounted on a server.
    pub fn server(self) -> QueryServiceServer<Self> {
        QueryServiceServer::new(self)
    }
}

#[tonic::async_trait]
impl QueryService for QueryRpc {
    type TailEventsStream = BoxStream<'static, tail_events::Item>;

    async fn list_events(
        &self,
        request: Request<ListEventsRequest>,
    ) -> Result<Response<ListEventsResponse>, Status> {
        let deadline = self.deadline(&request);
        until(deadline, list_events::list_events(self, deadline, request)).await
    }

    async fn get_event(
        &self,
        request: Request<GetEventRequest>,
    ) -> Result<Response<GetEventResponse>, Status> {
        let deadline = self.deadline(&request);
        until(deadline, get_event::get_event(self, deadline, request)).await
    }

    async fn get_projection(
        &self,
        request: Request<GetProjectionRequest>,
    ) -> Result<Response<GetProjectionResponse>, Status> {
        let deadline = self.deadline(&request);
        until(deadline, get_projection::get_projection(self, deadline, request)).await
    }

    async fn query_series(
        &self,
        request: Request<QuerySeriesRequest>,
    ) -> Result<Response<QuerySeriesResponse>, Status> {
        let deadline = self.deadline(&request);
        until(deadline, query_series::query_series(self, deadline, request)).await
    }

    async fn get_forecast(
        &self,
        request: Request<GetForecastRequest>,
    ) -> Result<Response<GetForecastResponse>, Status> {
        let deadline = self.deadline(&request);
        until(deadline, get_forecast::get_forecast(self, deadline, request)).await
    }

    async fn score_series(
        &self,
        request: Request<ScoreSeriesRequest>,
    ) -> Result<Response<ScoreSeriesResponse>, Status> {
        let deadline = self.deadline(&request);
        until(deadline, score_series::score_series(self, deadline, request)).await
    }

    async fn list_series(
        &self,
        request: Request<ListSeriesRequest>,
    ) -> Result<Response<ListSeriesResponse>, Status> {
        let deadline = self.deadline(&request);
        until(deadline, list_series::list_series(self, deadline, request)).await
    }

    async fn get_event_timeline(
        &self,
        request: Request<GetEventTimelineRequest>,
    ) -> Result<Response<GetEventTimelineResponse>, Status> {
        let deadline = self.deadline(&request);
        until(deadline, get_event_timeline::get_event_timeline(self, deadline, request)).await
    }

    async fn list_anomalies(
        &self,
        request: Request<ListAnomaliesRequest>,
    ) -> Result<Response<ListAnomaliesResponse>, Status> {
        let deadline = self.deadline(&request);
        until(deadline, list_anomalies::list_anomalies(self, deadline, request)).await
    }

    async fn tail_events(
        &self,
        request: Request<TailEventsRequest>,
    ) -> Result<Response<Self::TailEventsStream>, Status> {
        Ok(Response::new(tail_events::tail_events(self, request).await?))
    }

    async fn list_projections(
        &self,
        request: Request<ListProjectionsRequest>,
    ) -> Result<Response<ListProjectionsResponse>, Status> {
        Caller::of(request.extensions())?;
        Ok(Response::new(list_projections::list_projections(self).await?))
    }
}

pub(crate) fn required(field: &str, value: &str) -> Result<(), Failure> {
    if value.is_empty() { Err(invalid(field, "must not be empty", "REQUIRED")) } else { Ok(()) }
}

/// A text of a filter: what is empty was not given.
pub(crate) fn given(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// Whether a request names a series that the caller may read.
fn authorize_series(caller: &Caller, subject: &str, metric: &str) -> Result<(), Failure> {
    for (field, value) in [("subject", subject), ("metric", metric)] {
        required(field, value)?;
        printable(field, value)?;
    }
    caller.authorize_state(subject)
}

/// No text of ours has control characters, and PostgreSQL keeps no NUL.
pub(crate) fn printable(field: &str, value: &str) -> Result<(), Failure> {
    if cornjacket_domain::clean::is_printable(value) {
        Ok(())
    } else {
        Err(invalid(field, "has a control character", "GRAMMAR"))
    }
}

pub(crate) fn invalid(field: &str, description: &str, reason: &str) -> Failure {
    Failure::invalid(field, description, reason)
}

fn violation(field: &str, description: &str, reason: &str) -> FieldViolation {
    FieldViolation { field: field.to_owned(), description: description.to_owned(), reason: reason.to_owned() }
}

/// The same of what somebody else says of a field, in words of its own.
pub(crate) fn invalid_as(field: &str, problem: &str, reason: &str) -> Failure {
    let failure = Failure::new(ErrorKind::Invalid, format!("{field}: {problem}"));
    failure.with_violations(vec![violation(field, problem, reason)])
}

pub(crate) fn decode(stored: &StoredEvent) -> Result<Event, Failure> {
    stored.decode().map_err(|error| {
        tracing::error!(%error, position = stored.position, "a stored event does not decode");
        Failure::new(ErrorKind::Internal, "the stored event does not decode")
    })
}

/// What the caller is told when the store did not answer; the detail goes to the log.
pub(crate) fn store_failed(error: &StoreError) -> Failure {
    if matches!(error, StoreError::Deadline(_)) {
        return deadline::passed();
    }
    tracing::error!(%error, "a query failed");
    error.failure()
}
