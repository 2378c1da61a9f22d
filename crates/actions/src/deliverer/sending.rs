//! One attempt: from what is kept of a delivery to what came of it.

use std::sync::Arc;
use std::time::Duration;

use cornjacket_bus::trace;
use cornjacket_domain::Timestamp;
use cornjacket_proto::actions::attempt;
use cornjacket_store::{AttemptResult, Delivery};
use prost::Message as _;
use tokio::time::timeout;
use tracing::{Instrument, Span};

use super::Ports;
use super::desk::Receiver;
use crate::Message;
use crate::breaker::Answer;
use crate::channels::{Channel, Telling};
use crate::classify::Outcome;
use crate::outside::Attempted;
use crate::printable::printable;
use crate::settle::{Finished, outcome};

/// How long the store may take to say what the secret is: less than leases last beyond the endpoint's timeout.
const PATIENCE: Duration = Duration::from_secs(5);

/// Makes the attempt. It ends within the endpoint's timeout, and that of the store's answer to what the secret is.
pub(super) async fn send(ports: Ports, receiver: Arc<Receiver>, delivery: Delivery) -> Finished {
    let message = Message::decode(delivery.told.message.as_slice());
    let span = tracing::error_span!(
        "deliver",
        otel.name = format!("deliver to {}", delivery.told.endpoint),
        otel.kind = "client",
        delivery = delivery.told.id,
        attempt = delivery.attempts + 1
    );
    let cause = message.as_ref().ok().and_then(|message| message.event.as_ref()?.trace_context.clone());
    trace::join(&span, cause.iter());
    let attempt = async {
        let message = message.map_err(|error| format!("what is to be told does not decode: {error}"))?;
        let now = ports.clock.now();
        let channel = open(&ports, &receiver, now).await?;
        let traceparent = trace::traceparent(&Span::current());
        let telling = Telling {
            id: &delivery.told.id,
            message: &message,
            now,
            deadline: receiver.terms.timeout,
            traceparent: traceparent.as_deref(),
        };
        Ok(channel.send(telling, &ports.makers.outside).await)
    };
    let attempted: Result<Attempted, String> = attempt.instrument(span).await;
    finished(&receiver, delivery, attempted)
}

/// With the secrets of the endpoint as it is known here: those of another place would go to the wrong one.
async fn open(ports: &Ports, receiver: &Receiver, now: Timestamp) -> Result<Box<dyn Channel>, String> {
    let sealed = ports.defining.secrets(&receiver.endpoint.name, receiver.version, now);
    let sealed = timeout(PATIENCE, sealed).await;
    let sealed = sealed.map_err(|_| "the store does not say what the secret is".to_owned())?;
    let sealed = sealed.map_err(|error| error.to_string())?;
    let sealed = sealed.ok_or("the endpoint was changed before it was asked")?;
    ports.makers.open(&receiver.endpoint, &sealed)
}

fn finished(receiver: &Receiver, delivery: Delivery, attempted: Result<Attempted, String>) -> Finished {
    let (answer, kept, is_final) = match attempted.as_ref().map(|attempted| attempted.outcome) {
        Ok(Outcome::Delivered) => (Answer::Good, attempt::Outcome::Delivered, false),
        Ok(Outcome::Failed) => (Answer::Bad, attempt::Outcome::Failed, false),
        Ok(Outcome::Held(long)) => (Answer::Hold(long), attempt::Outcome::Held, false),
        Ok(Outcome::Refused { disable: true }) => (Answer::Gone, attempt::Outcome::Refused, true),
        Ok(Outcome::Refused { disable: false }) => {
            // Without an answer it was not even asked: its address is forbidden, say.
            let is_there = attempted.as_ref().is_ok_and(|attempted| attempted.status.is_some());
            let answer = if is_there { Answer::Refused } else { Answer::Nothing };
            (answer, attempt::Outcome::Refused, true)
        }
        // The store is away, say, or the key is another: tried again as after a failure, and no failure of the endpoint.
        Err(_) => (Answer::NotAsked, attempt::Outcome::Failed, false),
    };
    let result = match attempted {
        Ok(attempted) => AttemptResult {
            outcome: outcome(kept),
            took: Some(attempted.took),
            status: attempted.status.unwrap_or_default(),
            // A receiver may say anything.
            error: printable(attempted.error),
            response: attempted.response.to_vec(),
            address: attempted.address.map(|address| address.to_string()).unwrap_or_default(),
        },
        Err(error) => {
            AttemptResult { outcome: outcome(kept), error: printable(error), ..AttemptResult::default() }
        }
    };
    Finished { delivery, result, answer, is_final, schedule: receiver.terms.schedule }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliverer::laws::bed::endpoint;
    use crate::endpoint::Terms;
    use crate::testing::delivery;

    #[test]
    fn what_no_store_keeps_is_not_kept() {
        let endpoint = endpoint("mail");
        let receiver =
            Receiver { terms: Terms::try_new(&endpoint).expect("an endpoint"), version: 1, endpoint };
        let said = || Attempted::unsendable("550 a\0b\n".to_owned());
        for attempted in [Ok(said()), Err(said().error)] {
            let finished = finished(&receiver, delivery("msg", "mail"), attempted);
            assert_eq!(finished.result.error, "550 a b ");
        }
    }
}
