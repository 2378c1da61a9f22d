//! Wills: what the broker publishes for a device that is gone without a word becomes an event like any other.
//!
//! They are all that the broker passes on to subscribers, and here is one: subscribed to everything.

use std::sync::Arc;
use std::time::Duration;

use mqtt5::QoS;
use mqtt5::broker::router::{DeliveryLanes, MessageRouter, SubscriptionRequest};
use mqtt5::packet::publish::PublishPacket;
use mqtt5::protocol::v5::properties::{PropertyId, PropertyValue};
use tokio::sync::oneshot;

use super::Shared;
use super::intake::{NotTaken, take};
use crate::sources::mqtt::Message;

/// The id of our own subscription. Devices cannot have it: theirs do not begin with a dollar sign.
const CLIENT: &str = "$cornjacket/wills";
/// Wills that may wait; more are lost. A site whose router fails has many at once. A subscription of a higher QoS would
/// queue more, and then wait for acknowledgements that only a connection gives.
const WAITING: usize = 10_000;
/// How long it takes to try again while the store does not answer.
const AGAIN: Duration = Duration::from_secs(1);
/// What the broker adds to say who sent a message.
const SENDER: &str = "x-mqtt-sender";
const SENDER_ID: &str = "x-mqtt-client-id";

/// Takes wills in, one after the other. Ends with the router.
pub async fn follow(shared: Arc<Shared>, router: Arc<MessageRouter>) {
    let (lanes, mut wills) = DeliveryLanes::channel(WAITING);
    // Nobody sends on it: the subscription is there for as long as the router.
    let (cut, _cut) = oneshot::channel();
    let queue = router.queue_handle(CLIENT);
    router.register_client(CLIENT.to_owned(), lanes, queue, cut).await;
    if let Err(error) = router.subscribe(SubscriptionRequest::new(CLIENT, "#", QoS::AtMostOnce)).await {
        tracing::error!(%error, "wills are not taken in");
    }
    while let Some(will) = wills.recv().await {
        take_in(&shared, will.publish).await;
    }
}

async fn take_in(shared: &Shared, will: PublishPacket) {
    let (message, sender, client) = read(will);
    let caller = sender.and_then(|user| shared.guests.of_will(&client.unwrap_or_default(), &user));
    let Some(caller) = caller else {
        tracing::warn!(topic = message.topic, "a will came too late: nobody knows its sender any more");
        return;
    };
    // Nobody would send it again.
    while let Err(why) = take(shared, &caller, message.clone()).await {
        if why == NotTaken::Denied {
            tracing::warn!(
                topic = message.topic,
                caller = caller.name(),
                "a will is not its sender's to send"
            );
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// The message, and who sent it: the user and the client id.
fn read(will: PublishPacket) -> (Message, Option<String>, Option<String>) {
    let (mut sender, mut client, mut user_properties) = (None, None, Vec::new());
    for value in will.properties.get_all(PropertyId::UserProperty).unwrap_or_default() {
        match value {
            PropertyValue::Utf8StringPair(name, value) if name == SENDER => sender = Some(value.clone()),
            PropertyValue::Utf8StringPair(name, value) if name == SENDER_ID => client = Some(value.clone()),
            PropertyValue::Utf8StringPair(name, value) => user_properties.push((name.clone(), value.clone())),
            _ => {}
        }
    }
    let content_type = will.properties.get_content_type();
    let message = Message {
        topic: will.topic_name,
        payload: will.payload,
        content_type,
        user_properties,
        retain: false,
    };
    (message, sender, client)
}
