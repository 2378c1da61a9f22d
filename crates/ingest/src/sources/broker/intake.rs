//! From a message to a stored event, or to a refusal that is kept: what a PUBACK stands for.

use std::pin::Pin;
use std::sync::Arc;

use cornjacket_domain::Caller;
use cornjacket_proto::status::{ErrorKind, Failure};
use mqtt5::QoS;
use mqtt5::broker::{
    BrokerEventHandler, ClientConnectEvent, ClientDisconnectEvent, ClientPublishEvent, PublishAction,
};
use mqtt5::packet::publish::PublishPacket;

use super::Shared;
use crate::sources::mqtt::{Message, event_of};

/// A topic that nobody may subscribe to.
const NOWHERE: &str = "$cornjacket/unanswered";

/// Takes in what connections bring.
pub struct Intake(pub Arc<Shared>);

/// Why a message is neither stored nor kept as refused. It must not be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// The store does not answer. The device should send it again.
    Outage,
    /// It is not the sender's to send.
    Denied,
}

impl Intake {
    /// Answers when all is done: the broker acknowledges right then, and reads the connection's next packet after that.
    async fn publish(&self, publish: ClientPublishEvent) -> PublishAction {
        let client = publish.client_id.as_ref();
        let Some(login) = self.0.guests.login(client) else {
            // Unanswered and not cut, it would wait for ever, and what comes after it would overtake it.
            self.0.cut(client).await;
            return unanswered();
        };
        // A copy that the broker kept for later is never made; to us, what was to be kept is as new as anything.
        let message = Message {
            topic: publish.topic.to_string(),
            payload: publish.payload.clone(),
            ..Message::default()
        };
        match take(&self.0, &login.caller, message).await {
            Ok(()) => PublishAction::Handled,
            // Nobody waits for an answer to it.
            Err(NotTaken::Outage) if publish.qos == QoS::AtMostOnce => {
                metrics::counter!("cornjacket_mqtt_lost_total").increment(1);
                PublishAction::Handled
            }
            Err(why) => {
                tracing::warn!(client, user = login.user, topic = %publish.topic, ?why, "a connection is cut");
                self.0.cut(client).await;
                unanswered()
            }
        }
    }
}

/// Stores the event that a message is, or keeps the message as refused.
pub async fn take(shared: &Shared, caller: &Caller, message: Message) -> Result<(), NotTaken> {
    let options = &shared.options;
    let place = options.topics.place(&message.topic);
    if place.is_none_or(|(subject, _)| caller.authorize_subject(subject).is_err()) {
        return Err(NotTaken::Denied);
    }
    let event = match event_of(&message, &options.topics) {
        Ok(event) => event,
        Err(refused) => return refuse(shared, &message, &refused.to_string()).await,
    };
    let Err(failure) = options.acceptor.append_later(caller, Some(event)).await.await else {
        metrics::counter!("cornjacket_mqtt_events_total").increment(1);
        return Ok(());
    };
    match what_now(&failure) {
        None => refuse(shared, &message, failure.message()).await,
        Some(not_taken) => Err(not_taken),
    }
}

/// Nothing when the message is at fault: also when it says what its sender may not say about its own subjects, such as a type
/// of ours. Cut for that, a device would send it again for ever.
fn what_now(failure: &Failure) -> Option<NotTaken> {
    match failure.kind() {
        ErrorKind::Invalid
        | ErrorKind::NotFound
        | ErrorKind::AlreadyExists
        | ErrorKind::FailedPrecondition
        | ErrorKind::Aborted
        | ErrorKind::OutOfRange
        | ErrorKind::PermissionDenied
        | ErrorKind::TooLarge => None,
        ErrorKind::Unauthenticated => Some(NotTaken::Denied),
        ErrorKind::Exhausted | ErrorKind::Unavailable | ErrorKind::DeadlineExceeded | ErrorKind::Internal => {
            Some(NotTaken::Outage)
        }
    }
}

async fn refuse(shared: &Shared, message: &Message, why: &str) -> Result<(), NotTaken> {
    metrics::counter!("cornjacket_mqtt_refused_total").increment(1);
    shared.options.refusals.refuse(message, why).await.map_err(|error| {
        tracing::warn!(%error, topic = message.topic, "a refused message could not be kept");
        NotTaken::Outage
    })
}

/// The broker answers a message of QoS 1 or 2 and none of QoS 0: so the message is made one, that goes nowhere.
fn unanswered() -> PublishAction {
    PublishAction::Transform(PublishPacket::new(NOWHERE.to_owned(), Vec::new(), QoS::AtMostOnce))
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl BrokerEventHandler for Intake {
    fn on_client_connect(&self, event: ClientConnectEvent) -> Answer<'_, ()> {
        self.0.guests.come(&event.client_id);
        Box::pin(std::future::ready(()))
    }

    fn on_client_publish(&self, event: ClientPublishEvent) -> Answer<'_, PublishAction> {
        Box::pin(self.publish(event))
    }

    fn on_client_disconnect(&self, event: ClientDisconnectEvent) -> Answer<'_, ()> {
        self.0.guests.gone(&event.client_id);
        Box::pin(std::future::ready(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_the_messages_fault_is_not_acknowledged() {
        for kind in ErrorKind::ALL {
            let found = what_now(&Failure::new(kind, "x"));
            let is_retried = matches!(found, Some(NotTaken::Outage));
            let expected = [
                ErrorKind::Exhausted,
                ErrorKind::Unavailable,
                ErrorKind::DeadlineExceeded,
                ErrorKind::Internal,
            ];
            assert_eq!(is_retried, expected.contains(&kind), "{kind:?}");
        }
    }
}
