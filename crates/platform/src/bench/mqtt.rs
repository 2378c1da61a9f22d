//! `cornjacket bench mqtt`: messages of devices, and what they do to those who call meanwhile.
//!
//! Beside us stands a Mosquitto, found on `PATH`, with the configuration of `deploy/mosquitto` but for its accounts and its disk:
//! it would save all that waits whenever something changes, and its disk would be what is measured.

mod device;
mod mosquitto;
mod sink;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use cornjacket_domain::{Partitions, SystemClock};
use cornjacket_store::Store;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use self::mosquitto::Mosquitto;
use self::sink::Sink;
use super::gateway::Http;
use super::load::{self, Measured};
use super::report::Report;
use super::scratch::Postgres;
use super::server::Server;
use super::{Options, workload};
use crate::config::Settings;

/// Devices that publish at once.
const DEVICES: usize = 64;
/// Messages of a device that may be unacknowledged.
const WINDOW: usize = 16;
/// Messages of a measurement.
const MESSAGES: usize = 64_000;
/// Messages that wait at the broker when the doors are compared; enough that some still wait when that is done.
const BACKLOG: usize = 300_000;
/// Who calls while devices publish.
const CALLERS: usize = 4;
const TIME: Duration = Duration::from_secs(4);
const DEADLINE: Duration = Duration::from_mins(3);

/// Measures, prints a table, and writes the figures.
pub async fn run(settings: &Settings, options: &Options) -> anyhow::Result<()> {
    anyhow::ensure!(settings.store.url.starts_with("postgres"), "store.url: must be postgres://…");
    let postgres = Postgres::connect(&settings.store.url).await?;
    let mut report = Report::default();
    for run in 1..=options.runs {
        eprintln!("run {run} of {}", options.runs);
        let database = postgres.database("mqtt").await?;
        let measured = measure(&database.socket_url(), &mut report).await;
        database.drop_it().await?;
        measured?;
    }
    println!("{}", report.table());
    println!(
        "Clients and Mosquitto run on the same machine and are part of every figure. {DEVICES} devices publish at QoS 1, up to \
         {WINDOW} messages of each unacknowledged. The sink acknowledges what Mosquitto gives it and does nothing else. \
         beside: {CALLERS} callers of Append while devices publish, to the sink or to Cornjacket, for which a backlog waits as well; \
         the ratio is of the two."
    );
    options.json.as_ref().map_or(Ok(()), |path| report.write_json(path))
}

async fn measure(url: &str, report: &mut Report) -> anyhow::Result<()> {
    let sunk = into_sink().await?;
    let stored = into_store(url, report).await?;
    report.add("mqtt.sink_per_s", "messages/s", sunk);
    report.add("mqtt.qos1_per_s", "messages/s", stored);
    report.add("mqtt.qos1_vs_sink", "ratio", stored / sunk);
    inside(url, report).await?;
    beside(url, report).await
}

/// Messages per second, from the devices' first to the sink's last.
async fn into_sink() -> anyhow::Result<f64> {
    let broker = Mosquitto::start().await?;
    let sink = Sink::subscribe(broker.port()).await?;
    let started = Instant::now();
    let (published, all) = tokio::join!(publish(broker.port(), 0, MESSAGES), sink.take(MESSAGES));
    published?;
    all?;
    Ok(per_second(MESSAGES, started))
}

/// Messages per second, from the devices' first to the store's last.
async fn into_store(url: &str, report: &mut Report) -> anyhow::Result<f64> {
    let broker = Mosquitto::start().await?;
    let mqtt = broker.url();
    let server = Server::start(url, "mqtt", &[("MQTT__URL", &mqtt)]).await?;
    let store = open(url).await?;
    until_subscribed(&store, broker.port()).await?;
    let (head, started) = (store.log.head().await?.position, Instant::now());
    let all = until(&store, head + MESSAGES as u64);
    let (published, stored) = tokio::join!(publish(broker.port(), 1, MESSAGES), all);
    published?;
    stored?;
    let rate = per_second(MESSAGES, started);
    report.add("mqtt.memory_after_load_mb", "MiB", server.memory_mib()?);
    server.stop().await?;
    Ok(rate)
}

/// The broker inside, where a PUBACK is sent after the commit.
async fn inside(url: &str, report: &mut Report) -> anyhow::Result<()> {
    let settings = [("MQTT__LISTEN", "127.0.0.1:0"), ("AUTH__MODE", "off")];
    let server = Server::start(url, "ingest,mqtt", &settings).await?;
    let port = port_of(&server.mqtt).context("the broker inside listens")?;
    publish(port, 2, DEVICES).await?;
    let measured = publish(port, 3, MESSAGES).await?;
    report.add("mqtt.inside_per_s", "messages/s", measured.per_second());
    report.add("mqtt.inside_p50_ms", "ms", measured.quantile_ms(0.5));
    report.add("mqtt.inside_p99_ms", "ms", measured.quantile_ms(0.99));
    server.stop().await
}

/// The other doors: alone; while devices publish as fast as they can, to a sink; and while they do and we take it, and
/// what has piled up before. What the second adds is the devices' and Mosquitto's share of the machine, the third ours.
async fn beside(url: &str, report: &mut Report) -> anyhow::Result<()> {
    let quiet = Server::start(url, "ingest,query,gateway", &[]).await?;
    load::batches(&quiet, workload::batches(2, 1_000), 1).await?;
    let alone = doors(&quiet).await?;
    let sunk = beside_sink(&quiet).await?;
    quiet.stop().await?;
    let ours = beside_ours(url, report).await?;
    for ((name, alone), ((_, sunk), (_, ours))) in alone.iter().zip(sunk.iter().zip(&ours)) {
        let [alone, sunk, ours] = [alone, sunk, ours].map(|door| door.quantile_ms(0.99));
        report.add(format!("{name}.alone_p99_ms"), "ms", alone);
        report.add(format!("{name}.beside_sink_p99_ms"), "ms", sunk);
        report.add(format!("{name}.beside_mqtt_p99_ms"), "ms", ours);
        report.add(format!("{name}.beside_mqtt_p99_ratio"), "ratio", ours / sunk);
    }
    Ok(())
}

async fn beside_sink(quiet: &Server) -> anyhow::Result<[(&'static str, Measured); 2]> {
    let broker = Mosquitto::start().await?;
    let sink = Sink::subscribe(broker.port()).await?;
    let mut devices = JoinSet::new();
    devices.spawn(async move { sink.take(usize::MAX).await });
    let port = broker.port();
    devices.spawn(async move { publish(port, 4, usize::MAX).await.map(drop) });
    let measured = doors(quiet).await?;
    anyhow::ensure!(devices.try_join_next().is_none(), "devices stopped publishing");
    devices.shutdown().await;
    Ok(measured)
}

async fn beside_ours(url: &str, report: &mut Report) -> anyhow::Result<[(&'static str, Measured); 2]> {
    let broker = Mosquitto::start().await?;
    let mqtt = broker.url();
    let settings = [("MQTT__URL", mqtt.as_str())];
    // So that the broker has a session that keeps the backlog.
    let server = Server::start(url, "mqtt", &settings).await?;
    let store = open(url).await?;
    until_subscribed(&store, broker.port()).await?;
    server.stop().await?;
    publish(broker.port(), 5, BACKLOG).await?;
    let head = store.log.head().await?.position;
    let busy = Server::start(url, "ingest,query,gateway,mqtt", &settings).await?;
    until(&store, head + 1_000).await?;
    let mut devices = JoinSet::new();
    devices.spawn(publish(broker.port(), 6, usize::MAX));
    let (head, began) = (store.log.head().await?.position, Instant::now());
    let ours = doors(&busy).await?;
    let stored = usize::try_from(store.log.head().await?.position - head)?;
    let messages = stored - ours.iter().map(|(_, door)| door.events).sum::<usize>();
    anyhow::ensure!(messages < BACKLOG, "the backlog is gone: {messages} messages were stored meanwhile");
    report.add("mqtt.beside_calls_per_s", "messages/s", per_second(messages, began));
    devices.shutdown().await;
    busy.stop().await?;
    Ok(ours)
}

async fn doors(server: &Server) -> anyhow::Result<[(&'static str, Measured); 2]> {
    let http = Arc::new(Http::new(server));
    let grpc = load::single(server, CALLERS, TIME).await?;
    Ok([("grpc", grpc), ("gateway", http.single(CALLERS, TIME).await?)])
}

/// Publishes `count` messages, in equal parts from every device. `round` makes their ids differ from those of other rounds.
async fn publish(port: u16, round: usize, count: usize) -> anyhow::Result<Measured> {
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    let devices = DEVICES.min(count);
    for number in 0..devices {
        let name = format!("bench-{round}-{number}");
        tasks.spawn(device::publish(port, name, WINDOW, count / devices));
    }
    load::finish(tasks, count, started).await
}

async fn open(url: &str) -> anyhow::Result<Store> {
    let options = cornjacket_store::Options::new(url.to_owned(), Partitions::ONE);
    Ok(Store::open(&options, Arc::new(SystemClock)).await?)
}

async fn until(store: &Store, position: u64) -> anyhow::Result<()> {
    let reached = async {
        while store.log.head().await?.position < position {
            sleep(Duration::from_millis(5)).await;
        }
        anyhow::Ok(())
    };
    let Ok(reached) = timeout(DEADLINE, reached).await else {
        anyhow::bail!("stored up to {} of {position} in time", store.log.head().await?.position);
    };
    reached
}

/// What is published before somebody has subscribed is nobody's: until one message arrives.
async fn until_subscribed(store: &Store, port: u16) -> anyhow::Result<()> {
    let head = store.log.head().await?.position;
    let arrives = async {
        while store.log.head().await?.position == head {
            publish(port, 0, 1).await?;
            sleep(Duration::from_millis(100)).await;
        }
        anyhow::Ok(())
    };
    timeout(DEADLINE, arrives).await.context("nobody subscribes")?
}

fn port_of(address: &str) -> Option<u16> {
    address.rsplit_once(':')?.1.parse().ok()
}

#[allow(clippy::cast_precision_loss, reason = "far fewer than 2^52 messages")]
fn per_second(messages: usize, since: Instant) -> f64 {
    messages as f64 / since.elapsed().as_secs_f64()
}
