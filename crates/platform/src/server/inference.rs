//! The inference role.

use std::sync::Arc;

use anyhow::Context;
use cornjacket_inference::{
    Feedback, Forwarder, Lookout, Processor, RemoteScorer, Silences, feedback, forwarder, outlook, processor,
    remote, vigil,
};

use super::Process;
use crate::models;
use crate::stages::Input;

impl Process<'_> {
    pub(super) async fn start_inference(&mut self) -> anyhow::Result<()> {
        models::register(&self.store, &self.settings.inference, self.clock.as_ref()).await?;
        let options = self.settings.processor(self.store.partitions)?;
        let input = Input::Topics(options.counted.topics());
        self.consume(processor::NAME, input, move || Processor::new(options.clone()))?;
        self.start_remote()?;
        let (partitions, input) = (self.store.partitions, Input::Topics(feedback::TOPICS.to_vec()));
        self.consume(feedback::NAME, input, move || Feedback::new(partitions))?;
        self.start_forwarder();
        self.start_vigil()?;
        self.look_ahead(self.settings.inference.rules()?);
        Ok(())
    }

    /// Whoever has something on its way into the log also forwards; one in a process is enough.
    pub(super) fn start_forwarder(&mut self) {
        if std::mem::replace(&mut self.forwards, true) {
            return;
        }
        let (store, clock, stop) = (self.store.clone(), self.clock.clone(), self.shutdown.stop.clone());
        self.stages.start(&self.shutdown, forwarder::NAME, Input::Outside, move |state| {
            let (outbox, log) = (store.outbox.clone(), store.log.clone());
            Forwarder::new(outbox, log, clock.clone(), state).run(stop.clone().cancelled_owned())
        });
    }

    fn start_vigil(&self) -> anyhow::Result<()> {
        let counted = self.settings.inference.counted()?;
        let ports = vigil::Ports::of(&self.store, counted, self.clock.clone());
        let (grace, stop) = (self.settings.inference.grace(), self.shutdown.stop.clone());
        self.stages.start(&self.shutdown, vigil::NAME, Input::Outside, move |state| {
            Silences::new(ports.clone(), grace, state).run(stop.clone().cancelled_owned())
        });
        Ok(())
    }

    /// Without rules there is nothing to look at.
    fn look_ahead(&self, rules: Vec<Arc<outlook::Rule>>) {
        if rules.is_empty() {
            return;
        }
        let ports = outlook::Ports {
            leases: self.store.leases.clone(),
            snapshots: self.store.snapshots.clone(),
            outlooks: self.store.outlooks.clone(),
            clock: self.clock.clone(),
            keep: self.settings.retention.series(),
        };
        let stop = self.shutdown.stop.clone();
        self.stages.start(&self.shutdown, outlook::NAME, Input::Outside, move |state| {
            Lookout::new(ports.clone(), &rules, state).run(stop.clone().cancelled_owned())
        });
    }

    /// Beside the processor, which must not wait for a server.
    fn start_remote(&self) -> anyhow::Result<()> {
        let ports = remote::Ports {
            models: self.store.models.clone(),
            snapshots: self.store.snapshots.clone(),
            client: remote::ModelClient::new().context("asking model servers")?,
            clock: self.clock.clone(),
        };
        let keep = self.settings.retention.series();
        let input = Input::Topics(remote::TOPICS.to_vec());
        self.consume(remote::NAME, input, move || RemoteScorer::new(ports.clone(), keep))
    }
}
