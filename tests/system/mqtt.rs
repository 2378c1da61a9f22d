//! Devices publish at a real Mosquitto, with its own tools: what they say is an event, and only once.

use std::time::Duration;

use cornjacket_proto::admin::{
    DeadLetter, DiscardDeadLetterRequest, ListDeadLettersRequest, RedriveDeadLettersRequest,
};
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::{Event, SensorReading};
use cornjacket_proto::query::{GetEventRequest, ListEventsRequest};
use cornjacket_testkit::mosquitto::{Broker, password};
use cornjacket_testkit::shared::unique_name;
use cornjacket_testkit::{Mosquitto, Postgres, Process, Program, wait};
use prost::Message;

use super::cornjacket::{Cornjacket, http_get, stop};
use super::events::reading;

const DEADLINE: Duration = Duration::from_secs(30);
const MEASURED: &str = r#"{"measurements":[{"metric":"temperature","value":1,"unit":"Cel"}]}"#;

/// A broker, and Cornjacket behind it.
struct Bed {
    broker: Broker,
    cornjacket: Cornjacket,
    /// Of this test alone; other tests may use the same broker.
    device: &'static str,
    client_id: String,
    folder: tempfile::TempDir,
}

impl Bed {
    async fn new(device: &'static str) -> anyhow::Result<Self> {
        let broker = Broker::get(&["pump-7", "pump-8", "pump-9"].map(str::to_owned)).await?;
        let folder = tempfile::tempdir()?;
        let (client_id, cornjacket) = (unique_name("mqtt"), Cornjacket::new(&[])?);
        let mut bed = Self { broker, cornjacket, device, client_id, folder };
        bed.set(&[])?;
        Ok(bed)
    }

    /// With these settings from the next start on.
    fn set(&mut self, settings: &[(&str, &str)]) -> anyhow::Result<()> {
        let database = format!("sqlite://{}", self.folder.path().join("cornjacket.db").display());
        let own = [
            ("store.url", database.as_str()),
            ("mqtt.url", &self.broker.url),
            ("mqtt.client_id", &self.client_id),
            ("mqtt.lease_ms", "400"),
        ];
        self.cornjacket = Cornjacket::new(&[&own, settings].concat())?;
        Ok(())
    }

    async fn start(&self) -> anyhow::Result<Process> {
        let process = self.cornjacket.start().await?;
        until_running(&self.cornjacket).await?;
        Ok(process)
    }

    /// Publishes by `mosquitto_pub` at QoS 1 below the device's own name, or where the topic says.
    async fn publish(&self, topic: &str, more: &[&str]) -> anyhow::Result<String> {
        let own = format!("cornjacket/v1/{}/{topic}", self.device);
        let topic = if topic.contains('/') { topic } else { &own };
        let port = self.broker.port.to_string();
        let program = Program::new("mosquitto_pub").args([
            "-h",
            &self.broker.host,
            "-p",
            &port,
            "-q",
            "1",
            "-t",
            topic,
        ]);
        let program =
            program.args(["-u", self.device, "-P", &password(self.device)]).args(more.iter().copied());
        program.output(DEADLINE).await
    }

    /// The event of that id, as soon as it is stored.
    async fn event(&self, id: &str) -> anyhow::Result<Event> {
        let source = format!("mqtt:{}", self.device);
        let request = GetEventRequest { id: id.into(), source, ..Default::default() };
        wait::until_some(DEADLINE, &format!("event {id}"), async || {
            let mut query = self.cornjacket.query().await.ok()?;
            query.get_event(request.clone()).await.ok()?.into_inner().event
        })
        .await
    }

    /// How many events there are of the device.
    async fn count(&self) -> anyhow::Result<usize> {
        let request = ListEventsRequest { subject: self.device.into(), ..Default::default() };
        Ok(self.cornjacket.query().await?.list_events(request).await?.into_inner().events.len())
    }

    /// The letters of the device, as soon as there are so many.
    async fn letters(&self, count: usize) -> anyhow::Result<Vec<DeadLetter>> {
        let request = ListDeadLettersRequest { consumer: "mqtt".into(), ..Default::default() };
        let ours = format!("cornjacket/v1/{}/", self.device);
        wait::until_some(DEADLINE, &format!("{count} dead letters"), async || {
            let mut admin = self.cornjacket.admin().await.ok()?;
            let mut letters = admin.list_dead_letters(request.clone()).await.ok()?.into_inner().dead_letters;
            letters.retain(|letter| letter.key.starts_with(ours.as_bytes()));
            (letters.len() == count).then_some(letters)
        })
        .await
    }
}

/// Waits until it is subscribed.
pub async fn until_running(cornjacket: &Cornjacket) -> anyhow::Result<()> {
    until(cornjacket, r#""name":"mqtt","reason":"","restarts":0,"state":"running""#).await
}

/// Waits until its stages say this.
pub async fn until(cornjacket: &Cornjacket, said: &str) -> anyhow::Result<()> {
    let verbose = async || http_get(cornjacket.ops, "/readyz?verbose").await.unwrap_or_default();
    wait::until(DEADLINE, said, async || verbose().await.contains(said)).await
}

const V5: [&str; 2] = ["-V", "mqttv5"];

fn property<'a>(name: &'a str, value: &'a str) -> [&'a str; 5] {
    ["-D", "publish", "user-property", name, value]
}

fn content_type(name: &str) -> [&str; 4] {
    ["-D", "publish", "content-type", name]
}

/// What every one of them says.
fn said(event: &Event) -> (String, String, String, Option<Payload>) {
    let Event { source, subject, r#type, payload, .. } = event.clone();
    (source, subject, r#type, payload)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_is_the_same_event_and_one_id_is_one_event_through_every_door() -> anyhow::Result<()> {
    let bed = Bed::new("pump-7").await?;
    let process = bed.start().await?;
    let json = format!(r#"{{"id":"json","sensorReading":{MEASURED}}}"#);
    bed.publish("sensor.reading", &["-m", &json]).await?;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let properties =
        [&V5[..], &property("id", "bare"), &property("traceparent", trace), &property("line", "2")];
    bed.publish("sensor.reading", &[&properties.concat()[..], &["-m", MEASURED]].concat()).await?;
    let structured = format!(
        r#"{{"specversion":"1.0","id":"cloud","source":"mqtt:pump-7","type":"sensor.reading","data":{MEASURED}}}"#
    );
    let cloudevent = [&V5[..], &content_type("application/cloudevents+json"), &["-m", &structured]].concat();
    bed.publish("sensor.reading", &cloudevent).await?;
    let measurements = match reading("pump-7", "", 1.0).payload {
        Some(Payload::SensorReading(SensorReading { measurements })) => measurements,
        other => anyhow::bail!("{other:?}"),
    };
    let payload = Some(Payload::SensorReading(SensorReading { measurements }));
    let file = bed.folder.path().join("event");
    let protobuf = Event { id: "protobuf".into(), payload: payload.clone(), ..Event::default() };
    std::fs::write(&file, protobuf.encode_to_vec())?;
    let file = file.display().to_string();
    let arguments = [&V5[..], &content_type("application/protobuf"), &["-f", &file]].concat();
    bed.publish("sensor.reading", &arguments).await?;

    let expected = ("mqtt:pump-7".to_owned(), "pump-7".to_owned(), "sensor.reading".to_owned(), payload);
    for id in ["json", "bare", "cloud", "protobuf"] {
        assert_eq!(said(&bed.event(id).await?), expected, "{id}");
    }
    let bare = bed.event("bare").await?;
    assert_eq!(bare.trace_context.map(|trace| trace.traceparent).as_deref(), Some(trace));
    assert_eq!(bare.attributes.keys().collect::<Vec<_>>(), ["line"]);

    // By gRPC, and once more by MQTT 3.1.1.
    let again =
        Event { source: "mqtt:pump-7".into(), ..Event { id: "json".into(), ..reading("pump-7", "", 1.0) } };
    assert!(bed.cornjacket.append(again).await?.duplicate, "the same event by gRPC");
    bed.publish("sensor.reading", &["-V", "mqttv311", "-m", &json]).await?;
    let timed = format!(r#"{{"event_time":"2026-11-26T12:00:00Z",{}"#, &MEASURED[1..]);
    for _ in 0..2 {
        bed.publish("sensor.reading", &["-V", "mqttv311", "-m", &timed]).await?;
    }
    bed.publish("system.device_offline", &["-V", "mqttv311", "-m", r#"{"id":"x","struct":{}}"#]).await?;
    bed.event("x").await?;
    assert_eq!(bed.count().await?, 6, "four forms, one of its own time, and a will");
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_broker_kept_from_before_is_no_event() -> anyhow::Result<()> {
    let bed = Bed::new("pump-8").await?;
    let with_id = |id: &str| format!(r#"{{"id":"{id}","sensorReading":{MEASURED}}}"#);
    // Nobody is subscribed yet: this one is only kept.
    bed.publish("sensor.reading", &["-r", "-m", MEASURED]).await?;
    let process = bed.start().await?;
    // To who is subscribed, one that is to be kept is new.
    bed.publish("sensor.reading", &["-r", "-m", &with_id("live")]).await?;
    bed.event("live").await?;
    assert_eq!(bed.count().await?, 1);
    stop(process).await?;
    // While nobody is connected the session keeps what comes.
    bed.publish("sensor.reading", &["-m", &with_id("meanwhile")]).await?;
    let process = bed.start().await?;
    bed.event("meanwhile").await?;
    assert_eq!(bed.count().await?, 2);
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_a_dead_letter_until_it_is_redriven_or_discarded() -> anyhow::Result<()> {
    let mut bed = Bed::new("pump-9").await?;
    bed.set(&[("ingest.event_bytes", "300")])?;
    let process = bed.start().await?;
    let long = format!(r#"{{"note":"{}"}}"#, "x".repeat(400));
    let large = [&V5[..], &property("id", "large"), &["-m", &long]].concat();
    bed.publish("door.state", &large).await?;
    bed.publish("sensor.reading", &["-m", r#"{"subject":"pump-8","sensorReading":{}}"#]).await?;
    bed.publish("ai.anomaly", &["-m", "{}"]).await?;
    // What comes behind it on the topic is held up by nothing.
    bed.publish("sensor.reading", &["-m", &format!(r#"{{"id":"next","sensorReading":{MEASURED}}}"#)]).await?;
    bed.event("next").await?;
    let letters = bed.letters(3).await?;
    let of =
        |topic: &str| letters.iter().find(|letter| letter.key.ends_with(topic.as_bytes())).expect("a letter");
    assert_eq!(&of("door.state").value[..], long.as_bytes());
    assert!(of("sensor.reading").error.contains("subject"), "{}", of("sensor.reading").error);
    assert!(of("ai.anomaly").error.contains("Cornjacket's own"), "{}", of("ai.anomaly").error);
    let server = format!("127.0.0.1:{}", bed.cornjacket.query);
    let listed = bed.cornjacket.verb(&["dead-letters", "--server", &server, "list"]).output(DEADLINE).await?;
    assert!(listed.contains("cornjacket/v1/pump-9/door.state"), "{listed}");
    let metrics = http_get(bed.cornjacket.ops, "/metrics").await?;
    assert!(metrics.contains(r#"cornjacket_mqtt_refused_total{reason="content"} "#), "{metrics}");

    let mut admin = bed.cornjacket.admin().await?;
    let offset = of("ai.anomaly").offset;
    let discard = DiscardDeadLetterRequest {
        consumer: "mqtt".into(),
        topic: "mqtt".into(),
        offset,
        reason: "never".into(),
        ..Default::default()
    };
    admin.discard_dead_letter(discard).await?;
    bed.letters(2).await?;
    stop(process).await?;

    // With another limit, the large one is an event, with what stood beside it.
    bed.set(&[])?;
    let process = bed.start().await?;
    let all = RedriveDeadLettersRequest { consumer: "mqtt".into(), ..Default::default() };
    bed.cornjacket.admin().await?.redrive_dead_letters(all).await?;
    wait::until(DEADLINE, "the other is tried again", async || {
        bed.letters(1).await.is_ok_and(|left| left[0].error.contains("subject") && left[0].attempts == 2)
    })
    .await?;
    assert_eq!(bed.event("large").await?.r#type, "door.state");
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_is_waited_for() -> anyhow::Result<()> {
    let mut broker = Mosquitto::start(&[]).await?;
    let folder = tempfile::tempdir()?;
    let database = format!("sqlite://{}", folder.path().join("cornjacket.db").display());
    let cornjacket = Cornjacket::new(&[("store.url", &database), ("mqtt.url", &broker.url())])?;
    let process = cornjacket.start().await?;
    until_running(&cornjacket).await?;
    broker.stop().await?;
    until(&cornjacket, "the broker: ").await?;
    broker.restart_on_same_port().await?;
    until_running(&cornjacket).await?;
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_is_waited_for_and_no_message_is_a_dead_letter() -> anyhow::Result<()> {
    let postgres = Postgres::start().await?;
    let mut bed = Bed::new("pump-7").await?;
    let url = postgres.url("postgres");
    bed.set(&[("store.url", &url), ("ingest.commit_timeout_ms", "500")])?;
    let process = bed.start().await?;
    let numbered = |id: u8| format!(r#"{{"id":"{id}","sensorReading":{MEASURED}}}"#);
    bed.publish("sensor.reading", &["-m", &numbered(0)]).await?;
    bed.event("0").await?;
    postgres.pause()?;
    for id in 1..4 {
        bed.publish("sensor.reading", &["-m", &numbered(id)]).await?;
    }
    until(&bed.cornjacket, r#""name":"mqtt","reason":"the store is not available""#).await?;
    postgres.resume()?;
    bed.event("3").await?;
    let request = ListEventsRequest { subject: "pump-7".into(), ..Default::default() };
    let stored = bed.cornjacket.query().await?.list_events(request).await?.into_inner().events;
    assert_eq!(stored.iter().map(|event| event.id.as_str()).collect::<Vec<_>>(), ["0", "1", "2", "3"]);
    bed.letters(0).await?;
    until_running(&bed.cornjacket).await?;
    stop(process).await
}
