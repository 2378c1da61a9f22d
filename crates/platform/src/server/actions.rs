//! The actions role.

use std::sync::Arc;

use cornjacket_actions::deliverer::{self, Deliverer};
use cornjacket_actions::dispatcher::{self, Dispatcher};
use cornjacket_actions::{ActionRpc, Makers, TestTurns};
use cornjacket_domain::Topic;

use super::Process;
use crate::actions;
use crate::grpc::Service;
use crate::stages::Input;

impl Process<'_> {
    pub(super) async fn start_actions(&mut self) -> anyhow::Result<()> {
        let makers = actions::makers(self.settings)?;
        let clock = self.clock.clone();
        let input = Input::Topics(Topic::ALL.to_vec());
        self.consume(dispatcher::NAME, input, move || Dispatcher::new(clock.clone()))?;
        let ports = deliverer::Ports {
            offsets: self.store.offsets.clone(),
            defining: self.store.defining.clone(),
            deliveries: self.store.deliveries.clone(),
            makers: makers.clone(),
            clock: self.clock.clone(),
        };
        let settings = &self.settings.actions;
        let options = deliverer::Options { rate: settings.rate(), in_flight: settings.in_flight };
        let stop = self.shutdown.stop.clone();
        self.stages.start(&self.shutdown, deliverer::NAME, Input::Outside, move |state| {
            Deliverer::new(ports.clone(), options, state).run(stop.clone().cancelled_owned())
        });
        self.start_forwarder();
        let listener = self.listen("actions", self.settings.actions.listen).await?;
        let service = self.action_service(makers);
        self.serve(listener, service);
        Ok(())
    }

    pub(super) fn action_service(&self, makers: Arc<Makers>) -> Service {
        let rpc = ActionRpc {
            defining: self.store.defining.clone(),
            ledger: self.store.ledger.clone(),
            deliveries: self.store.deliveries.clone(),
            alarms: self.store.alarms.clone(),
            offsets: self.store.offsets.clone(),
            log: self.store.log.clone(),
            snapshots: self.store.snapshots.clone(),
            makers,
            clock: self.clock.clone(),
            limits: self.settings.limits(),
            test_turns: TestTurns::default(),
        };
        Service::none().and("cornjacket.actions.v1.ActionService", rpc.server())
    }
}
