//! Services that answer as the subject of the request wants, and note what reached them.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cornjacket_proto::events::Event;
use cornjacket_proto::google::rpc::bad_request::FieldViolation;
use cornjacket_proto::ingest::ingest_service_server::{IngestService, IngestServiceServer};
use cornjacket_proto::ingest::outcome::Result as Outcome;
use cornjacket_proto::query::query_service_server::{QueryService, QueryServiceServer};
use cornjacket_proto::query::tail_events_response::Message as Tailed;
use cornjacket_proto::status::{ErrorKind, Failure};
use cornjacket_proto::{ingest, query};
use futures::{Stream, StreamExt, stream};
use tokio::sync::Notify;
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

/// What reached the services.
#[derive(Clone, Default)]
pub struct Fake {
    pub metadata: Arc<Mutex<MetadataMap>>,
    pub series: Arc<Mutex<query::QuerySeriesRequest>>,
    pub tail: Arc<Mutex<query::TailEventsRequest>>,
    /// Told when a call of the subject `slow`, or a stream, is dropped.
    pub dropped: Arc<Notify>,
}

impl Fake {
    pub fn routes(&self) -> Routes {
        Routes::new(IngestServiceServer::new(self.clone())).add_service(QueryServiceServer::new(self.clone()))
    }
}

struct OnDrop(Arc<Notify>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

fn receipt(event: Event) -> ingest::Receipt {
    ingest::Receipt { id: event.id, source: event.source, position: 1 << 60, ..ingest::Receipt::default() }
}

fn refused(subject: &str) -> Option<Status> {
    let violation = |field: &str, reason: &str| FieldViolation {
        field: field.into(),
        description: "is wrong".into(),
        reason: reason.into(),
    };
    let failure = match subject {
        "full" => Failure::new(ErrorKind::Exhausted, "full").with_retry_after(Duration::from_millis(1_200)),
        "bad" => Failure::new(ErrorKind::Invalid, "bad")
            .with_violations(vec![violation("event.sensor_reading", "REQUIRED")]),
        "large" => {
            Failure::new(ErrorKind::TooLarge, "large").with_violations(vec![violation("event", "TOO_LARGE")])
        }
        "stranger" => Failure::new(ErrorKind::Unauthenticated, "no token"),
        "defect" => return Some(Status::internal("password=hunter2")),
        _ => return None,
    };
    Some(failure.into())
}

#[tonic::async_trait]
impl IngestService for Fake {
    async fn append(
        &self,
        request: Request<ingest::AppendRequest>,
    ) -> Result<Response<ingest::AppendResponse>, Status> {
        self.metadata.lock().expect("the lock").clone_from(request.metadata());
        let event = request.into_inner().event.ok_or_else(|| Status::invalid_argument("no event"))?;
        if event.subject == "slow" {
            let _guard = OnDrop(Arc::clone(&self.dropped));
            std::future::pending::<()>().await;
        }
        match refused(&event.subject) {
            Some(status) => Err(status),
            None => Ok(Response::new(ingest::AppendResponse { receipt: Some(receipt(event)) })),
        }
    }

    async fn append_batch(
        &self,
        request: Request<ingest::AppendBatchRequest>,
    ) -> Result<Response<ingest::AppendBatchResponse>, Status> {
        let outcome = |event| ingest::Outcome { result: Some(Outcome::Receipt(receipt(event))) };
        let outcomes = request.into_inner().events.into_iter().map(outcome).collect();
        Ok(Response::new(ingest::AppendBatchResponse { outcomes }))
    }

    type AppendStreamStream = stream::Empty<Result<ingest::AppendStreamResponse, Status>>;

    async fn append_stream(
        &self,
        _: Request<Streaming<ingest::AppendStreamRequest>>,
    ) -> Result<Response<Self::AppendStreamStream>, Status> {
        Ok(Response::new(stream::empty()))
    }
}

fn tailed(position: u64) -> query::TailEventsResponse {
    let message = Some(Tailed::CaughtUp(query::CaughtUp { position }));
    query::TailEventsResponse { message, resume_token: format!("t{position}") }
}

#[tonic::async_trait]
impl QueryService for Fake {
    async fn get_event(
        &self,
        request: Request<query::GetEventRequest>,
    ) -> Result<Response<query::GetEventResponse>, Status> {
        let query::GetEventRequest { id, source, .. } = request.into_inner();
        let attribute = "x".repeat(if source == "large" { 100_000 } else { 0 });
        let event = Event { id, source, r#type: attribute, ..Event::default() };
        Ok(Response::new(query::GetEventResponse { event: Some(event) }))
    }

    async fn list_events(
        &self,
        _: Request<query::ListEventsRequest>,
    ) -> Result<Response<query::ListEventsResponse>, Status> {
        Ok(Response::new(query::ListEventsResponse::default()))
    }

    type TailEventsStream = Pin<Box<dyn Stream<Item = Result<query::TailEventsResponse, Status>> + Send>>;

    async fn tail_events(
        &self,
        request: Request<query::TailEventsRequest>,
    ) -> Result<Response<Self::TailEventsStream>, Status> {
        let request = request.into_inner();
        *self.tail.lock().expect("the lock") = request.clone();
        let guard = OnDrop(Arc::clone(&self.dropped));
        let first = stream::iter([tailed(1), tailed(2)].map(Ok));
        Ok(Response::new(match request.subject.as_str() {
            "late" => Box::pin(stream::iter([Err(Failure::new(ErrorKind::OutOfRange, "gone").into())])),
            "broken" => Box::pin(first.chain(stream::iter([Err(Status::unavailable("restarting"))]))),
            "quiet" => Box::pin(first.chain(stream::pending()).inspect(move |_| _ = &guard)),
            _ => Box::pin(first),
        }))
    }

    async fn get_projection(
        &self,
        request: Request<query::GetProjectionRequest>,
    ) -> Result<Response<query::GetProjectionResponse>, Status> {
        let query::GetProjectionRequest { projection, subject, .. } = request.into_inner();
        Ok(Response::new(query::GetProjectionResponse { projection, subject, ..Default::default() }))
    }

    async fn list_projections(
        &self,
        _: Request<query::ListProjectionsRequest>,
    ) -> Result<Response<query::ListProjectionsResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn query_series(
        &self,
        request: Request<query::QuerySeriesRequest>,
    ) -> Result<Response<query::QuerySeriesResponse>, Status> {
        *self.series.lock().expect("the lock") = request.into_inner();
        Ok(Response::new(query::QuerySeriesResponse::default()))
    }

    async fn list_series(
        &self,
        _: Request<query::ListSeriesRequest>,
    ) -> Result<Response<query::ListSeriesResponse>, Status> {
        Ok(Response::new(query::ListSeriesResponse::default()))
    }

    async fn get_forecast(
        &self,
        _: Request<query::GetForecastRequest>,
    ) -> Result<Response<query::GetForecastResponse>, Status> {
        Ok(Response::new(query::GetForecastResponse::default()))
    }

    async fn score_series(
        &self,
        _: Request<query::ScoreSeriesRequest>,
    ) -> Result<Response<query::ScoreSeriesResponse>, Status> {
        Ok(Response::new(query::ScoreSeriesResponse::default()))
    }

    async fn list_anomalies(
        &self,
        _: Request<query::ListAnomaliesRequest>,
    ) -> Result<Response<query::ListAnomaliesResponse>, Status> {
        Ok(Response::new(query::ListAnomaliesResponse::default()))
    }

    async fn get_event_timeline(
        &self,
        request: Request<query::GetEventTimelineRequest>,
    ) -> Result<Response<query::GetEventTimelineResponse>, Status> {
        let topic = request.into_inner().id;
        Ok(Response::new(query::GetEventTimelineResponse { topic, ..Default::default() }))
    }
}
