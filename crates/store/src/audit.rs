//! What operators did, in the log: each of their actions is an event that is stored before it is done.

use cornjacket_domain::{Caller, Event, Limits, Timestamp, event};
use cornjacket_proto::events as proto;
use cornjacket_proto::status::Failure;

use crate::EventLog;

/// Something that an operator asked for.
#[derive(Debug)]
pub struct Action<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// What is asked for.
    pub verb: &'a str,
    /// What it is done to, such as `consumers/device_state`.
    pub resource: String,
    /// Why, when a reason was given.
    pub reason: &'a str,
    /// What exactly, where verb and resource do not say it.
    pub detail: String,
}

impl<'a> Action<'a> {
    /// That, for no given reason.
    pub fn new(caller: &'a Caller, verb: &'a str, resource: String) -> Self {
        Self { caller, verb, resource, reason: "", detail: String::new() }
    }

    /// Stores it, so that what was done is always there to be found. Returns the id of the event.
    pub async fn record(&self, log: &dyn EventLog, now: Timestamp) -> Result<String, Failure> {
        let fields = [
            ("caller", self.caller.name().unwrap_or("anyone")),
            ("verb", self.verb),
            ("resource", &self.resource),
            ("reason", self.reason),
            ("detail", &self.detail),
        ];
        let event = proto::Event {
            source: "cornjacket/admin".to_owned(),
            r#type: "system.admin_action".to_owned(),
            subject: self.resource.clone(),
            payload: Some(event::texts(fields)),
            ..proto::Event::default()
        };
        let event =
            Event::new(event, now, &Limits::default()).map_err(|invalid| invalid.into_failure("resource"))?;
        let id = event.id().to_owned();
        log.append(&[event]).await.map_err(|error| {
            tracing::error!(%error, "an operator's action could not be stored");
            error.failure()
        })?;
        tracing::info!(
            caller = self.caller.name(),
            verb = self.verb,
            resource = self.resource,
            reason = self.reason,
            detail = self.detail,
            "operator's action"
        );
        Ok(id)
    }
}
