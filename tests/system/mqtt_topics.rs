//! Devices whose topics are older than we are: `mqtt.topics` says what they mean, at a real Mosquitto.

use cornjacket_testkit::Mosquitto;

use super::brokers::Site;
use super::cornjacket::{Cornjacket, stop};
use super::mqtt::until_running;

/// Both that the configuration has for an example. A topic of the first is one of the second, too.
const TOPICS: &str = r#"["plants/{subject}/telemetry = sensor.reading", "plants/{subject}/{type}", "old/{type}/of/{subject}"]"#;
const BEFORE: &str = r#"["plants/{subject}/telemetry = sensor.reading"]"#;
/// What an operator adds for them.
const ACL: &str = "
user cornjacket
topic read plants/#
topic read old/+/of/+

pattern write plants/%u/+
pattern write old/+/of/%u
";

#[tokio::test(flavor = "multi_thread")]
async fn a_device_on_topics_of_its_own_is_understood_once() -> anyhow::Result<()> {
    let names = ["pump-7".to_owned(), "pump-8".to_owned()];
    let broker = Mosquitto::start_with(&names, ACL).await?;
    // Before the second one was added, the first had a subscription of its own.
    let folder = tempfile::tempdir()?;
    let store = format!("sqlite://{}", folder.path().join("cornjacket.db").display());
    let settings = [("store.url", store.as_str()), ("mqtt.url", &broker.url()), ("mqtt.topics", BEFORE)];
    let before = Cornjacket::new(&settings)?;
    let process = before.start().await?;
    until_running(&before).await?;
    stop(process).await?;
    let site = Site::behind(broker, &names, &[("mqtt.topics", TOPICS)]).await?;
    let measured = r#"{"measurements": [{"metric": "t", "value": 1, "unit": "Cel"}]}"#;
    let published = [
        ("pump-7", "plants/pump-7/telemetry", measured, "sensor.reading"),
        ("pump-8", "plants/pump-8/door.opened", "{}", "door.opened"),
        ("pump-7", "old/door.closed/of/pump-7", "{}", "door.closed"),
        ("pump-8", "cornjacket/v1/pump-8/door.closed", "{}", "door.closed"),
    ];
    for (id, (device, topic, payload, _)) in (1..).zip(published) {
        let mut connection = site.device(device).await?;
        connection.publish(topic, id, payload).await?;
        assert_eq!(connection.acknowledged().await?, id, "{topic}");
    }
    site.until_stored(published.len()).await?;
    let said: Vec<_> = site.events().await?.into_iter().map(|event| (event.subject, event.r#type)).collect();
    let expected = published.map(|(device, _, _, event_type)| (device.to_owned(), event_type.to_owned()));
    assert_eq!(said, expected);
    assert_eq!(site.letters().await?, []);
    site.stop().await
}
