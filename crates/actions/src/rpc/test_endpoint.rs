//! `TestEndpoint`: an endpoint is told something at once, whatever it has been told before.

use cornjacket_domain::id_of;
use cornjacket_proto::actions::{Attempt, Endpoint, Severity, TestEndpointRequest, attempt};
use cornjacket_proto::events::Event;
use cornjacket_proto::events::SystemEvent;
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::system_event::Status;
use cornjacket_proto::status::{ErrorKind, Failure};
use cornjacket_store::DefinitionKind;
use cornjacket_store::audit::Action;
use prost::Message as _;
use tonic::Request;

use super::definitions::found;
use super::endpoints::sealed_of;
use super::{ActionRpc, caller_of, required};
use crate::channels::Telling;
use crate::classify::Outcome;
use crate::endpoint::Terms;
use crate::outside::Attempted;
use crate::{Message, said};

pub(super) async fn test(rpc: &ActionRpc, request: Request<TestEndpointRequest>) -> Result<Attempt, Failure> {
    let caller = caller_of(&request)?;
    let name = request.into_inner().name;
    required("name", &name)?;
    let definitions = rpc.defined().await?;
    let definition = found(&definitions, DefinitionKind::Endpoint, &name)?;
    let now = rpc.clock.now();
    let sealed = sealed_of(rpc, definition).await?;
    let unfit = |why: String| {
        let message = format!("the endpoint cannot be told anything: {why}");
        Failure::new(ErrorKind::FailedPrecondition, message).with_reason("UNUSABLE", [])
    };
    let endpoint = Endpoint::decode(definition.bytes.as_slice()).map_err(|error| unfit(error.to_string()))?;
    let terms = Terms::try_new(&endpoint).map_err(|problems| unfit(format!("{problems:?}")))?;
    let channel = rpc.makers.open(&endpoint, &sealed).map_err(unfit)?;
    Action::new(&caller, "test", format!("endpoints/{name}")).record(rpc.log.as_ref(), now).await?;
    let id = id_of(["test", &name, &now.as_micros().to_string()]);
    let message = message(&name, &id, now.to_proto());
    let telling = Telling { id: &id, message: &message, now, deadline: terms.timeout, traceparent: None };
    let attempted = channel.send(telling, &rpc.makers.outside).await;
    Ok(to_proto(attempted, now.to_proto()))
}

fn message(endpoint: &str, id: &str, now: prost_types::Timestamp) -> Message {
    let text = "this is a test: nothing has happened".to_owned();
    let payload = SystemEvent {
        component: format!("actions/endpoints/{endpoint}"),
        status: Status::Ok.into(),
        message: text.clone(),
        details: None,
    };
    let event = Event {
        id: id.to_owned(),
        source: said::SOURCE.to_owned(),
        r#type: "system.endpoint_test".to_owned(),
        subject: endpoint.to_owned(),
        event_time: Some(now),
        payload: Some(Payload::SystemEvent(payload)),
        ..Event::default()
    };
    Message {
        rule: "test".to_owned(),
        severity: Severity::Info.into(),
        title: format!("A test of {endpoint}"),
        text,
        event: Some(event),
        is_test: true,
        ..Message::default()
    }
}

fn to_proto(attempted: Attempted, start: prost_types::Timestamp) -> Attempt {
    let outcome = match attempted.outcome {
        Outcome::Delivered => attempt::Outcome::Delivered,
        Outcome::Failed => attempt::Outcome::Failed,
        Outcome::Held(_) => attempt::Outcome::Held,
        Outcome::Refused { .. } => attempt::Outcome::Refused,
    };
    Attempt {
        number: 1,
        start_time: Some(start),
        latency: attempted.took.try_into().ok(),
        outcome: outcome.into(),
        status: attempted.status.unwrap_or_default().into(),
        error: attempted.error,
        response: attempted.response,
        address: attempted.address.map(|address| address.to_string()).unwrap_or_default(),
    }
}
