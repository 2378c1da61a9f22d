//! `cornjacket.admin.v1.AdminService`, a file for each method.

mod add_device;
mod backtest;
mod discard_dead_letter;
mod drafts;
mod export_devices;
mod get_dead_letter;
mod list_consumers;
mod list_dead_letters;
mod list_devices;
mod models;
mod pause;
mod rebuild_projection;
mod redrive_dead_letters;
mod replay_events;
mod report_feedback;
mod revoke_device;

use std::sync::Arc;
use std::time::Duration;

use cornjacket_bus::Bus;
use cornjacket_domain::{Caller, Clock, Partitions};
use cornjacket_proto::admin::admin_service_server::{AdminService, AdminServiceServer};
use cornjacket_proto::admin::{
    AddDeviceRequest, AddDeviceResponse, BacktestRequest, DeadLetter, DiscardDeadLetterRequest,
    DiscardDeadLetterResponse, ExportDevicesRequest, ExportDevicesResponse, GetDeadLetterRequest,
    GetDeadLetterResponse, ListConsumersRequest, ListConsumersResponse, ListDeadLettersRequest,
    ListDeadLettersResponse, ListDevicesRequest, ListDevicesResponse, ListModelsRequest, ListModelsResponse,
    PauseConsumerRequest, PauseConsumerResponse, RebuildProjectionRequest, RedriveDeadLettersRequest,
    RedriveDeadLettersResponse, RegisterModelRequest, RegisterModelResponse, ReplayEventsRequest,
    ReportFeedbackRequest, ReportFeedbackResponse, ResumeConsumerRequest, ResumeConsumerResponse,
    RevokeDeviceRequest, RevokeDeviceResponse, SetModelModeRequest, SetModelModeResponse,
};
use cornjacket_proto::status::{ErrorKind, Failure};
use cornjacket_store::audit::Action;
use cornjacket_store::postgres::RelayCheckpoint;
use cornjacket_store::{Consumers, DeadLetters, Devices, EventLog, LetterId, Models, Rebuilds, Snapshots};
use tonic::{Request, Response, Status};

pub use self::models::Detectors;

use crate::projections::Parameters;
use crate::replays::Replays;
use crate::rpc::{Fits, Turns, printable, required, store_failed};

/// What the methods work on.
#[derive(Clone, Debug)]
pub struct AdminRpc {
    /// The event log, which keeps what operators did.
    pub log: Arc<dyn EventLog>,
    /// Consumers as their operators see them.
    pub consumers: Arc<dyn Consumers>,
    /// What consumers could not handle.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// Devices that may connect.
    pub devices: Arc<dyn Devices>,
    /// What series are watched with.
    pub models: Arc<dyn Models>,
    /// What models can be made of.
    pub detectors: Arc<dyn Detectors>,
    /// What they are run with over what is stored.
    pub replays: Arc<dyn Replays>,
    /// How many are run at once.
    pub runs: Arc<Fits>,
    /// Of questions that read much.
    pub turns: Arc<Turns>,
    /// Where samples are read from.
    pub snapshots: Arc<dyn Snapshots>,
    /// Samples that are older are no longer looked at.
    pub keep_samples: Duration,
    /// Makes projections anew.
    pub rebuilds: Arc<dyn Rebuilds>,
    /// Where events are replayed to.
    pub bus: Arc<dyn Bus>,
    /// What the relay has put there; none where the bus is the log itself.
    pub relay: Option<RelayCheckpoint>,
    /// How states follow from events.
    pub parameters: Parameters,
    /// Dates what operators did, and tells how old things are.
    pub clock: Arc<dyn Clock>,
    /// Of every topic.
    pub partitions: Partitions,
}

impl AdminRpc {
    /// The service, ready to be mounted on a server.
    pub fn server(self) -> AdminServiceServer<Self> {
        AdminServiceServer::new(self)
    }

    /// Stores that an operator asked for something, before it is done: what was done is always there to be found. Returns
    /// the id of the event.
    async fn audit(&self, action: &Action<'_>) -> Result<String, Failure> {
        action.record(self.log.as_ref(), self.clock.now()).await
    }
}

/// The letter that a request names.
fn letter_id(consumer: String, topic: String, partition: u32, offset: u64) -> Result<LetterId, Failure> {
    required("consumer", &consumer)?;
    required("topic", &topic)?;
    printable("consumer", &consumer)?;
    printable("topic", &topic)?;
    let partition = u16::try_from(partition)
        .map_err(|_| crate::rpc::invalid("partition", "is above 65,535", "OUT_OF_RANGE"))?;
    Ok(LetterId { consumer, topic, partition, offset })
}

/// Whether the caller may see what is parked under a key, which may be no subject at all. A letter waits for others of
/// its key, whatever their sources.
fn authorize_key(caller: &Caller, key: &[u8]) -> Result<(), Failure> {
    let subject = std::str::from_utf8(key);
    caller.authorize_everything().or_else(|limited| caller.authorize_state(subject.map_err(|_| limited)?))
}

/// The letter, if it is there for this caller; that there is one that the caller may not see is not said.
async fn find_letter(
    rpc: &AdminRpc,
    caller: &Caller,
    id: &LetterId,
) -> Result<cornjacket_store::DeadLetter, Failure> {
    let found = rpc.dead_letters.get(id).await.map_err(|error| store_failed(&error))?;
    if let Some(letter) = found
        && authorize_key(caller, &letter.key).is_ok()
    {
        return Ok(letter);
    }
    caller.authorize_everything()?;
    Err(no_such_letter(id))
}

fn no_such_letter(id: &LetterId) -> Failure {
    Failure::new(ErrorKind::NotFound, format!("there is no dead letter {}", name(id)))
}

fn name(id: &LetterId) -> String {
    format!("{}/{}/{}/{}", id.consumer, id.topic, id.partition, id.offset)
}

fn to_proto(letter: cornjacket_store::DeadLetter) -> DeadLetter {
    DeadLetter {
        consumer: letter.at.consumer,
        topic: letter.at.topic.to_owned(),
        partition: letter.at.partition.into(),
        offset: letter.offset,
        key: letter.key,
        position: letter.position.unwrap_or_default(),
        content_type: letter.format,
        value: letter.value,
        error: letter.error.unwrap_or_default(),
        attempts: letter.attempts,
        first_time: Some(letter.first_time.to_proto()),
        last_time: Some(letter.last_time.to_proto()),
        discarded: letter.discarded.unwrap_or_default(),
    }
}

#[tonic::async_trait]
impl AdminService for AdminRpc {
    type RebuildProjectionStream = rebuild_projection::Progresses;

    async fn rebuild_projection(
        &self,
        request: Request<RebuildProjectionRequest>,
    ) -> Result<Response<Self::RebuildProjectionStream>, Status> {
        Ok(Response::new(rebuild_projection::rebuild_projection(self, request).await?))
    }

    type ReplayEventsStream = replay_events::Progresses;

    async fn replay_events(
        &self,
        request: Request<ReplayEventsRequest>,
    ) -> Result<Response<Self::ReplayEventsStream>, Status> {
        Ok(Response::new(replay_events::replay_events(self, request).await?))
    }

    type BacktestStream = backtest::Progresses;

    async fn backtest(
        &self,
        request: Request<BacktestRequest>,
    ) -> Result<Response<Self::BacktestStream>, Status> {
        Ok(Response::new(backtest::backtest(self, request).await?))
    }

    async fn list_consumers(
        &self,
        request: Request<ListConsumersRequest>,
    ) -> Result<Response<ListConsumersResponse>, Status> {
        Caller::of(request.extensions())?;
        Ok(Response::new(list_consumers::list_consumers(self).await?))
    }

    async fn pause_consumer(
        &self,
        request: Request<PauseConsumerRequest>,
    ) -> Result<Response<PauseConsumerResponse>, Status> {
        let caller = Caller::of(request.extensions())?;
        pause::set_paused(self, &caller, &request.into_inner().consumer, true).await?;
        Ok(Response::new(PauseConsumerResponse {}))
    }

    async fn resume_consumer(
        &self,
        request: Request<ResumeConsumerRequest>,
    ) -> Result<Response<ResumeConsumerResponse>, Status> {
        let caller = Caller::of(request.extensions())?;
        pause::set_paused(self, &caller, &request.into_inner().consumer, false).await?;
        Ok(Response::new(ResumeConsumerResponse {}))
    }

    async fn list_dead_letters(
        &self,
        request: Request<ListDeadLettersRequest>,
    ) -> Result<Response<ListDeadLettersResponse>, Status> {
        Ok(Response::new(list_dead_letters::list_dead_letters(self, request).await?))
    }

    async fn get_dead_letter(
        &self,
        request: Request<GetDeadLetterRequest>,
    ) -> Result<Response<GetDeadLetterResponse>, Status> {
        Ok(Response::new(get_dead_letter::get_dead_letter(self, request).await?))
    }

    async fn redrive_dead_letters(
        &self,
        request: Request<RedriveDeadLettersRequest>,
    ) -> Result<Response<RedriveDeadLettersResponse>, Status> {
        Ok(Response::new(redrive_dead_letters::redrive_dead_letters(self, request).await?))
    }

    async fn discard_dead_letter(
        &self,
        request: Request<DiscardDeadLetterRequest>,
    ) -> Result<Response<DiscardDeadLetterResponse>, Status> {
        discard_dead_letter::discard_dead_letter(self, request).await?;
        Ok(Response::new(DiscardDeadLetterResponse {}))
    }

    async fn add_device(
        &self,
        request: Request<AddDeviceRequest>,
    ) -> Result<Response<AddDeviceResponse>, Status> {
        Ok(Response::new(add_device::add_device(self, request).await?))
    }

    async fn revoke_device(
        &self,
        request: Request<RevokeDeviceRequest>,
    ) -> Result<Response<RevokeDeviceResponse>, Status> {
        revoke_device::revoke_device(self, request).await?;
        Ok(Response::new(RevokeDeviceResponse {}))
    }

    async fn list_devices(
        &self,
        request: Request<ListDevicesRequest>,
    ) -> Result<Response<ListDevicesResponse>, Status> {
        Ok(Response::new(list_devices::list_devices(self, request).await?))
    }

    async fn export_devices(
        &self,
        request: Request<ExportDevicesRequest>,
    ) -> Result<Response<ExportDevicesResponse>, Status> {
        Ok(Response::new(export_devices::export_devices(self, request).await?))
    }

    async fn register_model(
        &self,
        request: Request<RegisterModelRequest>,
    ) -> Result<Response<RegisterModelResponse>, Status> {
        let model = models::register_model(self, request).await?;
        Ok(Response::new(RegisterModelResponse { model: Some(model) }))
    }

    async fn set_model_mode(
        &self,
        request: Request<SetModelModeRequest>,
    ) -> Result<Response<SetModelModeResponse>, Status> {
        models::set_model_mode(self, request).await?;
        Ok(Response::new(SetModelModeResponse {}))
    }

    async fn list_models(
        &self,
        request: Request<ListModelsRequest>,
    ) -> Result<Response<ListModelsResponse>, Status> {
        Ok(Response::new(models::list_models(self, request).await?))
    }

    async fn report_feedback(
        &self,
        request: Request<ReportFeedbackRequest>,
    ) -> Result<Response<ReportFeedbackResponse>, Status> {
        Ok(Response::new(report_feedback::report_feedback(self, request).await?))
    }
}
