//! A Kafka broker of a test's own: one node that is its own controller (`KRaft`), started from the jars that `tests/setup` lays down.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use rustix::process::Signal;

use crate::program::is_root;
use crate::{Process, Program, Scratch, ports};

/// A start takes about four seconds; a loaded machine takes a multiple.
const DEADLINE: Duration = Duration::from_mins(2);

/// Where `tests/setup` lays the jars.
const LIBS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.ci/cache/kafka/libs");

/// Any id in Kafka's form: 16 bytes in URL-safe Base64, not starting with a dash.
const CLUSTER_ID: &str = "Y29ybmphY2tldC10ZXN0cw";

/// One node replicates to nobody. Few partitions of the internal topics and no rebalance delay make groups start
/// quickly; the short session timeout lets a test watch a member go. Topics are made on purpose or not at all.
const SETTINGS: &str = "\
process.roles=broker,controller
node.id=1
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=BROKER
auto.create.topics.enable=false
default.replication.factor=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
";

/// A running broker on 127.0.0.1. Dropping it ends it and removes its data.
#[derive(Debug)]
pub struct Kafka {
    process: Process,
    program: Program,
    java: Java,
    port: u16,
    scratch: Scratch,
}

impl Kafka {
    /// Makes and starts a broker, and waits until it answers.
    pub async fn start() -> anyhow::Result<Self> {
        let scratch = Scratch::new("kafka")?;
        let java = Java::new(&scratch)?;
        let port = ports::free_port()?;
        let settings = scratch.path().join("server.properties");
        fs::write(&settings, properties(scratch.path(), port, ports::free_port()?))?;
        let format =
            java.class("kafka.tools.StorageTool").args(["format", "-t", CLUSTER_ID, "-c"]).arg(&settings);
        format.output(DEADLINE).await.context("formatting Kafka's storage")?;
        let program = java.class("kafka.Kafka").arg(&settings).log(scratch.path().join("log"));
        let process = program.spawn()?;
        let mut broker = Self { process, program, java, port, scratch };
        broker.until_ready().await?;
        Ok(broker)
    }

    /// The address for `bootstrap.servers`.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The broker's process: its id, its log.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Runs Kafka's own `kafka-topics`, and returns what it printed: `["--create", "--topic", "t"]`.
    pub async fn topics(&self, args: &[&str]) -> anyhow::Result<String> {
        let command = self.java.class("org.apache.kafka.tools.TopicCommand");
        command.args(["--bootstrap-server", &self.bootstrap()]).args(args).output(DEADLINE).await
    }

    /// Drops all records that the partitions of a topic have now, as its retention would.
    pub async fn drop_records(&self, topic: &str, partitions: u16) -> anyhow::Result<()> {
        // -1: everything up to the end.
        let each = |partition| format!(r#"{{"topic": "{topic}", "partition": {partition}, "offset": -1}}"#);
        let all = (0..partitions).map(each).collect::<Vec<_>>().join(", ");
        let offsets = self.scratch.path().join("offsets.json");
        fs::write(&offsets, format!(r#"{{"version": 1, "partitions": [{all}]}}"#))?;
        let command = self.java.class("org.apache.kafka.tools.DeleteRecordsCommand");
        let command = command.args(["--bootstrap-server", &self.bootstrap(), "--offset-json-file"]);
        command.arg(&offsets).output(DEADLINE).await.map(drop)
    }

    /// Ends it in order.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.process.stop(Signal::TERM, DEADLINE).await.map(drop)
    }

    /// Kills it (SIGKILL).
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill9().await
    }

    /// Starts it again on the same data and port, after ending it in order if it still runs.
    pub async fn restart_on_same_port(&mut self) -> anyhow::Result<()> {
        if self.process.exited()?.is_none() {
            self.stop().await?;
        }
        self.process = self.program.spawn()?;
        self.until_ready().await
    }

    /// Stops it in its tracks (SIGSTOP).
    pub fn pause(&self) -> anyhow::Result<()> {
        self.process.pause()
    }

    /// Lets a paused broker go on (SIGCONT).
    pub fn resume(&self) -> anyhow::Result<()> {
        self.process.resume()
    }

    /// A broker that answers may still be fenced: ready is when its metadata counts it.
    async fn until_ready(&mut self) -> anyhow::Result<()> {
        let metadata = Program::new("kcat").args(["-L", "-m", "2", "-b", &self.bootstrap()]);
        let answers = async || metadata.output(DEADLINE).await.is_ok_and(|text| text.contains(" 1 brokers:"));
        self.process.until_ready(DEADLINE, "Kafka lists its broker", answers).await
    }
}

fn properties(folder: &Path, port: u16, controller: u16) -> String {
    let data = folder.join("data");
    format!(
        "{SETTINGS}\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         listeners=BROKER://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=BROKER://127.0.0.1:{port}\n\
         log.dirs={}\n",
        data.display()
    )
}

/// How to run a class from Kafka's jars.
#[derive(Debug)]
struct Java {
    libs: PathBuf,
    temporary: PathBuf,
}

impl Java {
    fn new(scratch: &Scratch) -> anyhow::Result<Self> {
        Ok(Self { libs: readable_libs(scratch)?, temporary: scratch.path().to_owned() })
    }

    /// The quick compiler only: a broker that lives for minutes starts in two thirds of the time. Native
    /// libraries are unpacked into the temporary folder, and go with it.
    fn class(&self, class: &str) -> Program {
        Program::new("java")
            .args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"])
            .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
            .arg(format!("-Djava.io.tmpdir={}", self.temporary.display()))
            .args(["-cp", &format!("{}/*", self.libs.display()), class])
            .unprivileged()
    }
}

/// Root's checkout may lie where `nobody` cannot read it: then the broker gets a copy of the jars.
fn readable_libs(scratch: &Scratch) -> anyhow::Result<PathBuf> {
    let libs = fs::read_dir(LIBS).with_context(|| format!("no Kafka in {LIBS}: run tests/setup"))?;
    if !is_root() {
        return Ok(LIBS.into());
    }
    let copy = scratch.path().join("libs");
    fs::create_dir(&copy)?;
    for jar in libs {
        let jar = jar?;
        fs::copy(jar.path(), copy.join(jar.file_name()))?;
    }
    Ok(copy)
}
