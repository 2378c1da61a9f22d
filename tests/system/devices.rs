//! Devices with accounts, at the broker inside and at a Mosquitto that has them from an export.

use std::path::Path;
use std::time::Duration;

use cornjacket_auth::TokenRequest;
use cornjacket_domain::Scope;
use cornjacket_proto::events::Event;
use cornjacket_proto::query::ListEventsRequest;
use cornjacket_testkit::{Process, Program, ports};

use super::cornjacket::{AUDIENCE, Cornjacket, minted, stop};

const DEADLINE: Duration = Duration::from_secs(20);

/// A `cornjacket` with a broker inside.
pub fn with_broker(folder: &Path) -> anyhow::Result<(Cornjacket, u16)> {
    let port = ports::free_port()?;
    let store = format!("sqlite://{}", folder.join("cornjacket.db").display());
    let (listen, sessions) = (format!("127.0.0.1:{port}"), folder.join("mqtt").display().to_string());
    let settings = [("store.url", &*store), ("mqtt.listen", &listen), ("mqtt.sessions", &sessions)];
    Ok((Cornjacket::new(&settings)?, port))
}

/// Adds a device: its password.
pub async fn add(cornjacket: &Cornjacket, name: &str) -> anyhow::Result<String> {
    let server = format!("127.0.0.1:{}", cornjacket.query);
    let verb = cornjacket.verb(&["--set", "log.level=off", "devices", "--server", &server, "add", name]);
    let printed = verb.output(DEADLINE).await?;
    Ok(printed.lines().last().unwrap_or_default().to_owned())
}

/// What the verb `devices` says.
pub async fn devices(cornjacket: &Cornjacket, arguments: &[&str]) -> anyhow::Result<String> {
    let server = format!("127.0.0.1:{}", cornjacket.query);
    let verb = cornjacket.verb(&["--set", "log.level=off", "devices", "--server", &server]);
    verb.args(arguments.iter().copied()).output(DEADLINE).await
}

/// `mosquitto_pub` of one message, QoS 1, as `user`. With MQTT 5 it fails where the broker refuses.
fn publish(port: u16, version: &str, user: (&str, &str), topic: &str, payload: &str) -> Program {
    let ((name, password), port) = (user, port.to_string());
    Program::new("mosquitto_pub")
        .args(["-h", "127.0.0.1", "-p", &port, "-V", version, "-q", "1", "-u", name, "-P", password])
        .args(["-t", topic, "-m", payload])
}

/// All events about `subject`.
async fn events(cornjacket: &Cornjacket, subject: &str) -> anyhow::Result<Vec<Event>> {
    let request = ListEventsRequest { subject: subject.into(), ..ListEventsRequest::default() };
    Ok(cornjacket.query().await?.list_events(request).await?.into_inner().events)
}

const READING: &str =
    r#"{"id": "1", "sensorReading": {"measurements": [{"metric": "t", "value": 21.5, "unit": "Cel"}]}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_device_publishes_to_the_broker_inside_until_it_is_revoked() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (cornjacket, port) = with_broker(folder.path())?;
    let process = cornjacket.start().await?;
    let password = add(&cornjacket, "pump-7").await?;
    let device = ("pump-7", &*password);
    let own = "cornjacket/v1/pump-7/sensor.reading";
    for version in ["mqttv5", "mqttv311"] {
        publish(port, version, device, own, READING).output(DEADLINE).await?;
    }
    let found = events(&cornjacket, "pump-7").await?;
    assert_eq!(found.len(), 1, "the id makes it one: {found:?}");
    assert_eq!((found[0].id.as_str(), found[0].source.as_str()), ("1", "mqtt:pump-7"));
    publish(port, "mqttv5", device, "cornjacket/v1/pump-7/valve/door.opened", "x").output(DEADLINE).await?;
    assert_eq!(events(&cornjacket, "pump-7/valve").await?.len(), 1, "what is below it is its own");

    assert_eq!(devices(&cornjacket, &["list"]).await?.lines().count(), 2);
    assert!(devices(&cornjacket, &["add", "pump-7"]).await.is_err(), "there is one");

    // One that is connected is cut, one that comes is refused.
    let program = Program::new("mosquitto_sub").args(["-h", "127.0.0.1", "-p", &port.to_string()]);
    let program = program.args(["-u", device.0, "-P", device.1, "-t", "cornjacket/v1/pump-7/+"]);
    let mut connected = program.log(folder.path().join("sub")).spawn()?;
    devices(&cornjacket, &["revoke", "pump-7"]).await?;
    let refused = publish(port, "mqttv5", device, own, "x").output(DEADLINE).await;
    assert!(refused.is_err(), "{refused:?}");
    // Cut, it comes back, is refused, and gives up.
    connected.wait(DEADLINE).await?;
    assert_eq!(events(&cornjacket, "pump-7").await?.len(), 1);
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_may_be_the_password() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (cornjacket, port) = with_broker(folder.path())?;
    let process = cornjacket.start().await?;
    let token = |scope, subjects: Option<&str>| {
        minted(&TokenRequest {
            subjects: subjects.map(|subjects| vec![subjects.to_owned()]),
            ..TokenRequest::new("gateway", &[scope], AUDIENCE)
        })
    };
    let good = token(Scope::Ingest, Some("line-1/*"))?;
    let publish = async |token: &str, topic: &str| {
        publish(port, "mqttv5", ("any", token), topic, "x").output(DEADLINE).await
    };
    publish(&good, "cornjacket/v1/line-1/pump/door.opened").await?;
    assert_eq!(events(&cornjacket, "line-1/pump").await?.len(), 1);
    drop(publish(&good, "cornjacket/v1/line-2/pump/door.opened").await);
    assert_eq!(events(&cornjacket, "line-2/pump").await?.len(), 0);
    let other_scope = token(Scope::Query, None)?;
    assert!(publish(&other_scope, "cornjacket/v1/line-1/pump/door.opened").await.is_err());
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_to_be_kept_is_one_event() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (cornjacket, port) = with_broker(folder.path())?;
    let process = cornjacket.start().await?;
    let password = add(&cornjacket, "pump-7").await?;
    let device = ("pump-7", &*password);
    for arguments in [&["-r"][..], &[]] {
        let message = publish(port, "mqttv5", device, "cornjacket/v1/pump-7/door.opened", "{}");
        message.args(arguments.iter().copied()).output(DEADLINE).await?;
    }
    assert_eq!(events(&cornjacket, "pump-7").await?.len(), 2, "one of each");
    stop(process).await
}

/// A Mosquitto with the accounts of an export.
async fn mosquitto(folder: &Path, port: u16) -> anyhow::Result<Process> {
    let config = format!(
        "listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {0}/passwords\nacl_file {0}/acl\n",
        folder.display()
    );
    std::fs::write(folder.join("mosquitto.conf"), config)?;
    let path = if Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" };
    let program = Program::new(path).arg("-c").arg(folder.join("mosquitto.conf"));
    // It would become a user who may not read the files, which are for one user alone.
    let mut process = program.args(["-v"]).log(folder.join("log")).unprivileged().spawn()?;
    let ready = async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok();
    process.until_ready(DEADLINE, "Mosquitto listens", ready).await?;
    Ok(process)
}

#[tokio::test(flavor = "multi_thread")]
async fn mosquitto_takes_over_the_accounts() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (cornjacket, _) = with_broker(folder.path())?;
    let process = cornjacket.start().await?;
    let password = add(&cornjacket, "pump-7").await?;
    let target = tempfile::tempdir()?;
    let path = target.path().display().to_string();
    devices(&cornjacket, &["export", "--mosquitto", &path]).await?;
    let users = target.path().join("devices.json").display().to_string();
    devices(&cornjacket, &["export", "--emqx", &users]).await?;
    let users: serde_json::Value = serde_json::from_slice(&std::fs::read(users)?)?;
    assert_eq!((&users[0]["user_id"], users.as_array().map(Vec::len)), (&"pump-7".into(), Some(1)));
    let everybody = Program::new("chmod").args(["-R", "a+rwX", &path]);
    everybody.output(DEADLINE).await?;
    let port = ports::free_port()?;
    let _mosquitto = mosquitto(target.path(), port).await?;
    let device = ("pump-7", &*password);
    let own = "cornjacket/v1/pump-7/sensor.reading";
    let said = publish(port, "mqttv5", device, own, READING).arg("-d").output(DEADLINE).await?;
    assert!(!said.contains("Not authorized"), "{said}");
    let other = "cornjacket/v1/pump-8/sensor.reading";
    let said = publish(port, "mqttv5", device, other, READING).arg("-d").output(DEADLINE).await;
    let said = said.unwrap_or_else(|error| error.to_string());
    assert!(said.contains("Not authorized") || said.contains("RC:135"), "{said}");
    assert!(publish(port, "mqttv5", ("pump-7", "wrong"), own, READING).output(DEADLINE).await.is_err());
    stop(process).await
}
