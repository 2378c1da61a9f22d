//! The query role.

use std::sync::Arc;
use std::time::Duration;

use cornjacket_query::rpc::{Fits, Turns};
use cornjacket_query::{AdminRpc, QueryRpc};

use super::Process;
use crate::forecasts;
use crate::grpc::Service;
use crate::models;
use crate::replays;

impl Process<'_> {
    pub(super) async fn start_query(&mut self) -> anyhow::Result<()> {
        let listener = self.listen("query", self.settings.query.listen).await?;
        let service = self.query_service()?;
        self.serve(listener, service);
        Ok(())
    }

    pub(super) fn query_service(&self) -> anyhow::Result<Service> {
        let (turns, runs) = (Arc::<Turns>::default(), Arc::<Fits>::default());
        let rpc = QueryRpc {
            log: self.store.log.clone(),
            snapshots: self.store.snapshots.clone(),
            consumers: self.store.consumers.clone(),
            rebuilds: self.store.rebuilds.clone(),
            relay: self.relay(),
            partitions: self.store.partitions,
            epoch: self.epoch,
            default_deadline: Duration::from_millis(self.settings.query.default_deadline_ms),
            clock: self.clock.clone(),
            keep: Duration::from_hours(24) * self.settings.retention.state_days,
            keep_samples: self.settings.retention.series(),
            series_topics: self.settings.inference.counted()?.topics(),
            parameters: self.settings.projections.parameters(),
            progress: Arc::default(),
            turns: turns.clone(),
            forecasts: Arc::new(forecasts::StoredSeries),
            fits: Arc::default(),
            models: self.store.models.clone(),
            detectors: Arc::new(models::KnownDetectors),
            replays: Arc::new(replays::StoredSamples),
            runs: runs.clone(),
        };
        let admin = AdminRpc {
            log: self.store.log.clone(),
            consumers: self.store.consumers.clone(),
            dead_letters: self.store.dead_letters.clone(),
            devices: self.store.devices.clone(),
            models: self.store.models.clone(),
            detectors: Arc::new(models::KnownDetectors),
            replays: Arc::new(replays::StoredSamples),
            runs,
            turns,
            snapshots: self.store.snapshots.clone(),
            keep_samples: self.settings.retention.series(),
            rebuilds: self.store.rebuilds.clone(),
            bus: self.bus.clone(),
            relay: self.relay(),
            parameters: self.settings.projections.parameters(),
            clock: self.clock.clone(),
            partitions: self.store.partitions,
        };
        let service = Service::none().and("cornjacket.query.v1.QueryService", rpc.server());
        Ok(service.and("cornjacket.admin.v1.AdminService", admin.server()))
    }
}
