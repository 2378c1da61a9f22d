//! `cornjacket.actions.v1.ActionService`, a file for each kind of thing.

mod alarms;
mod definitions;
mod deliveries;
mod endpoints;
mod explain;
mod resend;
mod rotate_secret;
mod rules;
mod silences;
mod test_endpoint;
mod test_rule;

use std::sync::Arc;

use cornjacket_domain::{Caller, Clock, Limits};
use cornjacket_proto::actions::action_service_server::{ActionService, ActionServiceServer};
use cornjacket_proto::actions::{
    AcknowledgeAlarmRequest, AcknowledgeAlarmResponse, ClearAlarmRequest, ClearAlarmResponse,
    CreateEndpointRequest, CreateEndpointResponse, CreateRuleRequest, CreateRuleResponse,
    CreateSilenceRequest, CreateSilenceResponse, DeleteEndpointRequest, DeleteEndpointResponse,
    DeleteRuleRequest, DeleteRuleResponse, EndSilenceRequest, EndSilenceResponse, ExplainNotificationRequest,
    ExplainNotificationResponse, GetDeliveryRequest, GetDeliveryResponse, GetEndpointRequest,
    GetEndpointResponse, GetRuleRequest, GetRuleResponse, ListAlarmsRequest, ListAlarmsResponse,
    ListDeliveriesRequest, ListDeliveriesResponse, ListEndpointsRequest, ListEndpointsResponse,
    ListRulesRequest, ListRulesResponse, ListSilencesRequest, ListSilencesResponse, ResendDeliveriesRequest,
    ResendDeliveriesResponse, ResendDeliveryRequest, ResendDeliveryResponse, RotateEndpointSecretRequest,
    RotateEndpointSecretResponse, TestEndpointRequest, TestEndpointResponse, TestRuleRequest,
    TestRuleResponse, UpdateEndpointRequest, UpdateEndpointResponse, UpdateRuleRequest, UpdateRuleResponse,
};
use cornjacket_proto::status::{ErrorKind, Failure};
use cornjacket_store::{Alarms, Defining, Deliveries, EventLog, Ledger, Offsets, Snapshots, StoreError};
use tonic::{Request, Response, Status};

pub use self::test_rule::TestTurns;
use crate::endpoint::Makers;

/// What the methods work on.
#[derive(Clone, Debug)]
pub struct ActionRpc {
    /// What operators define.
    pub defining: Arc<dyn Defining>,
    /// What became of events.
    pub ledger: Arc<dyn Ledger>,
    /// What is told.
    pub deliveries: Arc<dyn Deliveries>,
    /// What lasts until it is over.
    pub alarms: Arc<dyn Alarms>,
    /// Opens transactions.
    pub offsets: Arc<dyn Offsets>,
    /// Keeps what operators did.
    pub log: Arc<dyn EventLog>,
    /// Where events are looked up.
    pub snapshots: Arc<dyn Snapshots>,
    /// What endpoints are made with.
    pub makers: Arc<Makers>,
    /// Dates what operators did.
    pub clock: Arc<dyn Clock>,
    /// What would be taken in of an event that a rule is tested on.
    pub limits: Limits,
    /// Whose turn it is to test a rule over history.
    pub test_turns: TestTurns,
}

impl ActionRpc {
    /// The service, ready to be mounted on a server.
    pub fn server(self) -> ActionServiceServer<Self> {
        ActionServiceServer::new(self)
    }
}

/// Who calls. Rules and endpoints are about everything, so that it is for callers who are not limited to some of it.
fn caller_of<T>(request: &Request<T>) -> Result<Caller, Failure> {
    let caller = Caller::of(request.extensions())?;
    caller.authorize_everything()?;
    Ok(caller)
}

fn required(field: &str, value: &str) -> Result<(), Failure> {
    if value.is_empty() { Err(Failure::invalid(field, "must not be empty", "REQUIRED")) } else { Ok(()) }
}

fn no_such(kind: &str, name: &str) -> Failure {
    Failure::new(ErrorKind::NotFound, format!("there is no {kind} {name:?}"))
}

/// What the caller is told when the store did not answer; the detail goes to the log.
fn store_failed(error: &StoreError) -> Failure {
    tracing::error!(%error, "an action call failed");
    error.failure()
}

#[tonic::async_trait]
impl ActionService for ActionRpc {
    async fn create_rule(
        &self,
        request: Request<CreateRuleRequest>,
    ) -> Result<Response<CreateRuleResponse>, Status> {
        let rule = Some(rules::create(self, request).await?);
        Ok(Response::new(CreateRuleResponse { rule }))
    }

    async fn get_rule(&self, request: Request<GetRuleRequest>) -> Result<Response<GetRuleResponse>, Status> {
        let rule = Some(rules::get(self, request).await?);
        Ok(Response::new(GetRuleResponse { rule }))
    }

    async fn list_rules(
        &self,
        request: Request<ListRulesRequest>,
    ) -> Result<Response<ListRulesResponse>, Status> {
        Ok(Response::new(rules::list(self, request).await?))
    }

    async fn update_rule(
        &self,
        request: Request<UpdateRuleRequest>,
    ) -> Result<Response<UpdateRuleResponse>, Status> {
        let rule = Some(rules::update(self, request).await?);
        Ok(Response::new(UpdateRuleResponse { rule }))
    }

    async fn delete_rule(
        &self,
        request: Request<DeleteRuleRequest>,
    ) -> Result<Response<DeleteRuleResponse>, Status> {
        rules::delete(self, request).await?;
        Ok(Response::new(DeleteRuleResponse {}))
    }

    async fn test_rule(
        &self,
        request: Request<TestRuleRequest>,
    ) -> Result<Response<TestRuleResponse>, Status> {
        Ok(Response::new(test_rule::test(self, request).await?))
    }

    async fn create_endpoint(
        &self,
        request: Request<CreateEndpointRequest>,
    ) -> Result<Response<CreateEndpointResponse>, Status> {
        Ok(Response::new(endpoints::create(self, request).await?))
    }

    async fn get_endpoint(
        &self,
        request: Request<GetEndpointRequest>,
    ) -> Result<Response<GetEndpointResponse>, Status> {
        let endpoint = Some(endpoints::get(self, request).await?);
        Ok(Response::new(GetEndpointResponse { endpoint }))
    }

    async fn list_endpoints(
        &self,
        request: Request<ListEndpointsRequest>,
    ) -> Result<Response<ListEndpointsResponse>, Status> {
        Ok(Response::new(endpoints::list(self, request).await?))
    }

    async fn update_endpoint(
        &self,
        request: Request<UpdateEndpointRequest>,
    ) -> Result<Response<UpdateEndpointResponse>, Status> {
        let endpoint = Some(endpoints::update(self, request).await?);
        Ok(Response::new(UpdateEndpointResponse { endpoint }))
    }

    async fn delete_endpoint(
        &self,
        request: Request<DeleteEndpointRequest>,
    ) -> Result<Response<DeleteEndpointResponse>, Status> {
        endpoints::delete(self, request).await?;
        Ok(Response::new(DeleteEndpointResponse {}))
    }

    async fn list_deliveries(
        &self,
        request: Request<ListDeliveriesRequest>,
    ) -> Result<Response<ListDeliveriesResponse>, Status> {
        Ok(Response::new(deliveries::list(self, request).await?))
    }

    async fn get_delivery(
        &self,
        request: Request<GetDeliveryRequest>,
    ) -> Result<Response<GetDeliveryResponse>, Status> {
        Ok(Response::new(deliveries::get(self, request).await?))
    }

    async fn resend_delivery(
        &self,
        request: Request<ResendDeliveryRequest>,
    ) -> Result<Response<ResendDeliveryResponse>, Status> {
        let delivery = Some(resend::one(self, request).await?);
        Ok(Response::new(ResendDeliveryResponse { delivery }))
    }

    async fn resend_deliveries(
        &self,
        request: Request<ResendDeliveriesRequest>,
    ) -> Result<Response<ResendDeliveriesResponse>, Status> {
        let count = resend::missed(self, request).await?;
        Ok(Response::new(ResendDeliveriesResponse { count }))
    }

    async fn test_endpoint(
        &self,
        request: Request<TestEndpointRequest>,
    ) -> Result<Response<TestEndpointResponse>, Status> {
        let attempt = Some(test_endpoint::test(self, request).await?);
        Ok(Response::new(TestEndpointResponse { attempt }))
    }

    async fn rotate_endpoint_secret(
        &self,
        request: Request<RotateEndpointSecretRequest>,
    ) -> Result<Response<RotateEndpointSecretResponse>, Status> {
        Ok(Response::new(rotate_secret::rotate(self, request).await?))
    }

    async fn list_alarms(
        &self,
        request: Request<ListAlarmsRequest>,
    ) -> Result<Response<ListAlarmsResponse>, Status> {
        Ok(Response::new(alarms::list(self, request).await?))
    }

    async fn acknowledge_alarm(
        &self,
        request: Request<AcknowledgeAlarmRequest>,
    ) -> Result<Response<AcknowledgeAlarmResponse>, Status> {
        let alarm = Some(alarms::acknowledge(self, request).await?);
        Ok(Response::new(AcknowledgeAlarmResponse { alarm }))
    }

    async fn clear_alarm(
        &self,
        request: Request<ClearAlarmRequest>,
    ) -> Result<Response<ClearAlarmResponse>, Status> {
        let alarm = Some(alarms::clear(self, request).await?);
        Ok(Response::new(ClearAlarmResponse { alarm }))
    }

    async fn create_silence(
        &self,
        request: Request<CreateSilenceRequest>,
    ) -> Result<Response<CreateSilenceResponse>, Status> {
        let silence = Some(silences::create(self, request).await?);
        Ok(Response::new(CreateSilenceResponse { silence }))
    }

    async fn list_silences(
        &self,
        request: Request<ListSilencesRequest>,
    ) -> Result<Response<ListSilencesResponse>, Status> {
        Ok(Response::new(silences::list(self, request).await?))
    }

    async fn end_silence(
        &self,
        request: Request<EndSilenceRequest>,
    ) -> Result<Response<EndSilenceResponse>, Status> {
        let silence = Some(silences::end(self, request).await?);
        Ok(Response::new(EndSilenceResponse { silence }))
    }

    async fn explain_notification(
        &self,
        request: Request<ExplainNotificationRequest>,
    ) -> Result<Response<ExplainNotificationResponse>, Status> {
        Ok(Response::new(explain::explain(self, request).await?))
    }
}
