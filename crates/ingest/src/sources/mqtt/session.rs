//! One connection to the broker, from CONNECT to DISCONNECT or to the first trouble. Only here is the client library named.
//!
//! [`Session::read`] polls the library and queues what comes; [`Session::work`] has it stored, and acknowledges it. Neither waits
//! for the other: pings are answered while the store is away. When the connection is lost, what was on its way is delivered
//! again on the next one, so no acknowledgement outlives its connection.

use std::pin::Pin;
use std::time::Duration;

use rumqttc::{
    AckMode, AsyncClient, Event, EventLoop, IncomingPacketSizeLimit, ManualAck, MqttOptions, Packet,
    PersistedAckMode, PersistedSession, Publish, QoS, RetainForwardRule, SessionStore, SessionStoreError,
    SessionStoreKey, SubAck, SubscribeFilterInput, SubscribeReasonCode,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Options;
use super::intake::{Intake, passed_over};
use super::message::Message;
use super::status::Status;

/// The broker hears of us this often, in seconds, and drops us after one and a half times that.
const KEEP_ALIVE: u16 = 15;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long acknowledgements and the farewell may take at the end.
const FAREWELL: Duration = Duration::from_secs(2);
/// Messages that are stored in one go while somebody waits for an answer: a commit of some two milliseconds.
const BESIDE_CALLERS: usize = 50;
/// For how many times as long as that took nothing is stored then, so that callers keep most of the processors and of the log.
const REST: u32 = 4;
const LONGEST_REST: Duration = Duration::from_millis(100);
/// Messages of QoS 0 that may wait; the broker sends them however many there are.
const UNACKNOWLEDGED: usize = 1_000;

/// A connection.
pub(super) struct Session<'a> {
    options: &'a Options,
    intake: &'a Intake,
    status: &'a Status,
}

/// How a session ended.
pub(super) enum End {
    /// It was asked to, and finished what it had in hand.
    Stopped,
    /// The connection was lost, or never was.
    Lost {
        /// It had got as far as being subscribed.
        subscribed: bool,
        /// For operators.
        reason: String,
    },
}

/// A message, and what acknowledges it; nothing does with QoS 0.
struct Delivery {
    message: Message,
    acknowledgement: Option<ManualAck>,
}

impl<'a> Session<'a> {
    pub(super) const fn new(options: &'a Options, intake: &'a Intake, status: &'a Status) -> Self {
        Self { options, intake, status }
    }

    /// Takes messages until `stop`, or until the connection is lost.
    pub(super) async fn run(&self, stop: &CancellationToken) -> End {
        let (client, events) = AsyncClient::builder(self.client_options()).unbounded().build();
        let (queue, messages) = mpsc::channel(usize::from(self.options.receive_maximum) + UNACKNOWLEDGED);
        let mut subscribed = false;
        let end = {
            let mut reading = std::pin::pin!(self.read(events, &client, queue, &mut subscribed));
            tokio::select! {
                reason = &mut reading => Some(reason),
                () = self.work(messages, &client, stop) => {
                    if timeout(FAREWELL, reading).await.is_err() {
                        tracing::warn!("the broker did not take the farewell in time");
                    }
                    None
                }
            }
        };
        in_flight(0);
        end.map_or(End::Stopped, |reason| End::Lost { subscribed, reason })
    }

    fn client_options(&self) -> MqttOptions {
        let address = &self.options.address;
        let mut options = MqttOptions::new(&self.options.client_id, (&address.host, address.port));
        options
            .set_clean_start(false)
            .set_session_expiry_interval(Some(u32::MAX))
            .set_session_store(NothingOfOurs)
            .set_ack_mode(AckMode::Manual)
            .set_receive_maximum(Some(self.options.receive_maximum))
            // What devices may send is the broker's to limit; what is over our own limit is refused by name.
            .set_incoming_packet_size_limit(IncomingPacketSizeLimit::Unlimited)
            .set_keep_alive(KEEP_ALIVE)
            .set_connect_timeout(CONNECT_TIMEOUT);
        if let Some((user, password)) = &address.credentials {
            options.set_credentials(user, password.clone());
        }
        options
    }

    /// Queues what comes, until the connection ends: why it did.
    async fn read(
        &self,
        mut events: EventLoop,
        client: &AsyncClient,
        queue: mpsc::Sender<Delivery>,
        subscribed: &mut bool,
    ) -> String {
        loop {
            let packet = match events.poll().await {
                Ok(Event::Incoming(packet)) => packet,
                Ok(Event::Outgoing(_) | Event::Auth(_)) => continue,
                Err(error) => return error.to_string(),
            };
            match packet {
                // Always: the session may be new to the broker, or the topics to the session.
                Packet::ConnAck(_) => {
                    if let Err(error) = client.try_subscribe_many(self.filters()) {
                        return error.to_string();
                    }
                }
                Packet::SubAck(answer) => {
                    if !is_granted(&answer) {
                        return format!("does not let us subscribe: {:?}", answer.return_codes);
                    }
                    // Not before: what comes in between is in one of the two.
                    let mut superseded = self.superseded().into_iter();
                    if let Err(error) = superseded.try_for_each(|filter| client.try_unsubscribe(filter)) {
                        return error.to_string();
                    }
                    *subscribed = true;
                    self.status.broker(None);
                    tracing::info!(broker = ?self.options.address, "subscribed");
                }
                Packet::Publish(publish) => self.enqueue(publish, client, &queue).await,
                _ => {}
            }
        }
    }

    fn filters(&self) -> Vec<SubscribeFilterInput> {
        let filter = |filter: String| {
            // QoS 2 is taken at QoS 1. What the broker kept from before is old.
            let filter = SubscribeFilterInput::new(self.shared(&filter), QoS::AtLeastOnce);
            filter.retain_forward_rule(RetainForwardRule::Never)
        };
        self.options.topics.filters().into_iter().map(filter).collect()
    }

    /// What the session may have from other settings, and would bring messages once more.
    fn superseded(&self) -> Vec<String> {
        let topics = &self.options.topics;
        let covered = topics.covered().iter().map(|filter| self.shared(filter)).collect();
        if self.options.shared_group.is_none() {
            return covered;
        }
        [covered, topics.filters(), topics.covered()].concat()
    }

    /// The filter as one of the group's.
    fn shared(&self, filter: &str) -> String {
        match &self.options.shared_group {
            Some(group) => format!("$share/{group}/{filter}"),
            None => filter.to_owned(),
        }
    }

    /// QoS 0 leaves as much room as the broker may need for QoS 1. One that sends more than the receive-maximum, as Mosquitto
    /// 2.0.11 does with what it queued before we came, is not read from meanwhile. Acknowledgements wait for no reading: the
    /// library's queue of them has no bound, and no more in it than was delivered.
    async fn enqueue(&self, publish: Publish, client: &AsyncClient, queue: &mpsc::Sender<Delivery>) {
        metrics::counter!("cornjacket_mqtt_received_total").increment(1);
        let acknowledgement = client.prepare_ack(&publish);
        if acknowledgement.is_none() && queue.capacity() <= usize::from(self.options.receive_maximum) {
            return passed_over("qos0");
        }
        let delivery = Delivery { message: message(publish), acknowledgement };
        // When it stops, nothing more is taken.
        drop(queue.send(delivery).await);
    }

    /// Has what is queued stored, again and again, until `stop`; then says farewell. What is still queued then, the broker has
    /// until the next connection.
    async fn work(
        &self,
        mut queue: mpsc::Receiver<Delivery>,
        client: &AsyncClient,
        stop: &CancellationToken,
    ) {
        let mut deliveries = Vec::new();
        while stop
            .run_until_cancelled(queue.recv_many(&mut deliveries, self.most(&queue)))
            .await
            .is_some_and(|count| count > 0)
            && stop.run_until_cancelled(self.status.until_resumed()).await.is_some()
        {
            let began = Instant::now();
            in_flight(deliveries.len());
            self.take(std::mem::take(&mut deliveries), client).await;
            in_flight(0);
            if self.intake.gives_way() {
                let rest = (began.elapsed() * REST).min(LONGEST_REST);
                stop.run_until_cancelled(sleep(rest)).await;
            }
        }
        if let Err(error) = client.disconnect().await {
            tracing::warn!(%error, "no farewell to the broker");
        }
    }

    /// Messages that are stored in one go. Whoever calls waits for the commit that is under way, and for the next one.
    fn most(&self, queue: &mpsc::Receiver<Delivery>) -> usize {
        if self.intake.gives_way() { BESIDE_CALLERS } else { queue.max_capacity() }
    }

    /// Acknowledges what is stored, in the order in which it came (MQTT-4.6.0-2).
    async fn take(&self, deliveries: Vec<Delivery>, client: &AsyncClient) {
        let (messages, acknowledgements): (Vec<_>, Vec<_>) =
            deliveries.into_iter().map(|one| (one.message, one.acknowledgement)).unzip();
        self.intake.take(messages).await;
        for acknowledgement in acknowledgements.into_iter().flatten() {
            match client.manual_ack(acknowledgement).await {
                Ok(()) => metrics::counter!("cornjacket_mqtt_acknowledged_total").increment(1),
                // The connection is gone, and the message comes again.
                Err(error) => tracing::debug!(%error, "not acknowledged"),
            }
        }
    }
}

fn is_granted(answer: &SubAck) -> bool {
    answer
        .return_codes
        .iter()
        .all(|code| matches!(code, SubscribeReasonCode::Success(qos) if *qos != QoS::AtMostOnce))
}

fn message(publish: Publish) -> Message {
    let properties = publish.properties.unwrap_or_default();
    Message {
        topic: String::from_utf8_lossy(&publish.topic).into_owned(),
        payload: publish.payload,
        content_type: properties.content_type,
        user_properties: properties.user_properties,
        retain: publish.retain,
    }
}

#[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn in_flight(messages: usize) {
    metrics::gauge!("cornjacket_mqtt_in_flight").set(messages as f64);
}

type Stored<'a, T> = Pin<Box<dyn Future<Output = Result<T, SessionStoreError>> + Send + 'a>>;

/// Our side of a session: nothing, since we publish nothing and take nothing at QoS 2. The library must be told, or it
/// refuses to go on with a session that the broker knows and this process does not.
#[derive(Debug)]
struct NothingOfOurs;

impl SessionStore for NothingOfOurs {
    fn load<'a>(&'a self, key: &'a SessionStoreKey) -> Stored<'a, Option<PersistedSession>> {
        let session = PersistedSession {
            format_version: 1,
            client_id: key.client_id().to_owned(),
            clean_start: false,
            session_expiry_interval: Some(u32::MAX),
            outgoing_inflight_upper_limit: None,
            ack_mode: PersistedAckMode::Manual,
            last_pkid: 0,
            last_puback: 0,
            replay: Vec::new(),
            incoming_qos2: Vec::new(),
        };
        Box::pin(async { Ok(Some(session)) })
    }

    fn save<'a>(&'a self, _: &'a SessionStoreKey, _: &'a PersistedSession) -> Stored<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn clear<'a>(&'a self, _: &'a SessionStoreKey) -> Stored<'a, ()> {
        Box::pin(async { Ok(()) })
    }
}
