//! The servers and processes that the tests stand on do what their names say.

use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use cornjacket_testkit::shared::unique_name;
use cornjacket_testkit::{
    Kafka, Postgres, Process, Program, Scratch, Signal, fresh_database, shared_kafka, shared_postgres, wait,
};

const DEADLINE: Duration = Duration::from_secs(20);

async fn sql(url: &str, statement: &str) -> anyhow::Result<String> {
    let psql =
        Program::new("psql").args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--command"]);
    Ok(psql.arg(statement).arg(url).output(DEADLINE).await?.trim().to_owned())
}

fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

#[tokio::test]
async fn postgres_keeps_what_it_acknowledged_when_killed() -> anyhow::Result<()> {
    let mut server = Postgres::start().await?;
    let url = server.url("postgres");
    sql(&url, "CREATE TABLE kept (x int)").await?;
    sql(&url, "INSERT INTO kept VALUES (17)").await?;
    server.kill().await?;
    ensure!(sql(&url, "SELECT 1").await.is_err(), "a killed server answers");
    server.restart_on_same_port().await?;
    assert_eq!(sql(&url, "SELECT x FROM kept").await?, "17");
    server.restart_on_same_port().await?;
    assert_eq!(sql(&server.socket_url("postgres"), "SELECT x FROM kept").await?, "17");
    Ok(())
}

#[tokio::test]
async fn postgres_is_durable_unless_told_otherwise_and_runs_unprivileged() -> anyhow::Result<()> {
    let server = Postgres::start_with(&[("synchronous_commit", "off")]).await?;
    let url = server.url("postgres");
    assert_eq!(sql(&url, "SHOW fsync").await?, "on");
    assert_eq!(sql(&url, "SHOW synchronous_commit").await?, "off");
    assert_eq!(sql(&url, "SHOW server_encoding").await?, "UTF8");
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.process().id()))?;
    ensure!(!status.contains("Uid:\t0\t"), "the server runs as root:\n{status}");
    Ok(())
}

#[tokio::test]
async fn a_paused_postgres_answers_only_when_resumed() -> anyhow::Result<()> {
    let server = Postgres::start().await?;
    let url = server.url("postgres");
    server.pause()?;
    let id = server.process().id();
    wait::until(DEADLINE, "the postmaster is stopped", async || state(id) == Some('T')).await?;
    let psql = Program::new("psql").args(["--no-psqlrc", "--command", "SELECT 1"]).arg(&url);
    ensure!(psql.output(Duration::from_millis(300)).await.is_err(), "a paused server answers");
    server.resume()?;
    assert_eq!(sql(&url, "SELECT 1").await?, "1");
    Ok(())
}

#[tokio::test]
async fn a_dropped_postgres_leaves_nothing_behind() -> anyhow::Result<()> {
    let server = Postgres::start().await?;
    let id = server.process().id();
    let folder = std::fs::read_link(format!("/proc/{id}/cwd"))?;
    server.pause()?;
    drop(server);
    assert_eq!(state(id), None);
    ensure!(!folder.exists(), "{} is still there", folder.display());
    Ok(())
}

#[tokio::test]
async fn fresh_databases_are_apart() -> anyhow::Result<()> {
    let (one, other) = (fresh_database().await?, fresh_database().await?);
    sql(&one, "CREATE TABLE mine ()").await?;
    sql(&other, "CREATE TABLE mine ()").await?;
    assert_ne!(one, other);
    assert_ne!(one, shared_postgres().await?);
    Ok(())
}

#[tokio::test]
async fn kafka_keeps_its_records_over_a_restart_and_a_kill() -> anyhow::Result<()> {
    let mut broker = Kafka::start().await?;
    broker.topics(&["--create", "--topic", "kept", "--partitions", "2"]).await?;
    produce(&broker.bootstrap(), "kept", "17").await?;
    broker.restart_on_same_port().await?;
    assert_eq!(consume(&broker.bootstrap(), "kept").await?, "17");
    broker.kill().await?;
    broker.restart_on_same_port().await?;
    assert_eq!(consume(&broker.bootstrap(), "kept").await?, "17");
    Ok(())
}

#[tokio::test]
async fn a_paused_kafka_answers_only_when_resumed() -> anyhow::Result<()> {
    let broker = Kafka::start().await?;
    let metadata = Program::new("kcat").args(["-L", "-m", "1", "-b", &broker.bootstrap()]);
    broker.pause()?;
    ensure!(metadata.output(DEADLINE).await.is_err(), "a paused broker answers");
    broker.resume()?;
    metadata.output(DEADLINE).await?;
    Ok(())
}

#[tokio::test]
async fn the_shared_kafka_answers_and_makes_no_topic_by_itself() -> anyhow::Result<()> {
    let bootstrap = shared_kafka().await?;
    let topic = unique_name("nobody-made");
    ensure!(produce(&bootstrap, &topic, "lost").await.is_err(), "a topic made itself");
    Ok(())
}

async fn produce(bootstrap: &str, topic: &str, value: &str) -> anyhow::Result<()> {
    let scratch = Scratch::new("record")?;
    let file = scratch.path().join("value");
    std::fs::write(&file, value)?;
    let kcat = Program::new("kcat").args(["-P", "-b", bootstrap, "-t", topic, "-p", "0"]);
    kcat.args(["-X", "message.timeout.ms=5000"]).arg(&file).output(DEADLINE).await.map(drop)
}

async fn consume(bootstrap: &str, topic: &str) -> anyhow::Result<String> {
    let kcat =
        Program::new("kcat").args(["-C", "-b", bootstrap, "-t", topic, "-p", "0", "-o", "0", "-e", "-q"]);
    Ok(kcat.output(DEADLINE).await?.trim().to_owned())
}

#[tokio::test]
async fn an_early_exit_shows_the_log() -> anyhow::Result<()> {
    let scratch = Scratch::new("log")?;
    let program = Program::new("sh").args(["-c", "echo no such luck; exit 3"]);
    let mut process = program.log(scratch.path().join("log")).spawn()?;
    let error = process.until_ready(DEADLINE, "it is ready", async || false).await.expect_err("it exited");
    let error = error.to_string();
    ensure!(error.contains("exit status: 3") && error.contains("no such luck"), "{error}");
    Ok(())
}

#[tokio::test]
async fn signals_reach_a_process_and_its_end_is_told() -> anyhow::Result<()> {
    let mut process = Program::new("sleep").arg("60").spawn()?;
    ensure!(process.wait(Duration::from_millis(20)).await.is_err(), "sleep ended early");
    let status = process.stop(Signal::TERM, DEADLINE).await?;
    assert_eq!(status.code(), None, "{status}");
    Ok(())
}

#[tokio::test]
async fn a_kill_takes_the_descendants_too() -> anyhow::Result<()> {
    let scratch = Scratch::new("tree")?;
    let file = scratch.path().join("pid");
    let script = format!("sleep 60 & echo $! > {}; wait", file.display());
    let mut process = Program::new("sh").args(["-c", &script]).spawn()?;
    let sleeper = wait::until_some(DEADLINE, "the shell tells its child", async || pid_in(&file)).await?;
    process.kill9().await?;
    wait::until(DEADLINE, "the child is gone", async || matches!(state(sleeper), None | Some('Z'))).await
}

fn pid_in(file: &Path) -> Option<u32> {
    std::fs::read_to_string(file).ok()?.strip_suffix('\n')?.parse().ok()
}

/// `with-servers sh -c SCRIPT`, with a Kafka that is set already.
fn with_servers(script: &str, log: &Path) -> Program {
    let program = Program::new(env!("CARGO_BIN_EXE_with-servers")).args(["sh", "-c", script]).log(log);
    program.env("CORNJACKET_TEST_KAFKA", "elsewhere:9092").env("CORNJACKET_TEST_POSTGRES", "")
}

#[tokio::test]
async fn with_servers_starts_what_is_missing_and_passes_the_exit_code_on() -> anyhow::Result<()> {
    let scratch = Scratch::new("command")?;
    let script =
        r#"psql -qAtc 'SELECT 40 + 2' "$CORNJACKET_TEST_POSTGRES" && echo "$CORNJACKET_TEST_KAFKA"; exit 7"#;
    let mut process = with_servers(script, &scratch.path().join("log")).spawn()?;
    let status = process.wait(DEADLINE).await?;
    assert_eq!(status.code(), Some(7), "{}", process.log());
    ensure!(process.log().ends_with("42\nelsewhere:9092\n"), "{}", process.log());
    Ok(())
}

#[tokio::test]
async fn with_servers_takes_all_along_when_it_ends() -> anyhow::Result<()> {
    for (signal, code) in [(Signal::TERM, Some(143)), (Signal::INT, Some(130)), (Signal::KILL, None)] {
        let scratch = Scratch::new("command")?;
        let mut process = with_servers("echo up; exec sleep 60", &scratch.path().join("log")).spawn()?;
        process_says(&process, "up\n").await?;
        let url = process
            .log()
            .lines()
            .find_map(|line| line.strip_prefix("CORNJACKET_TEST_POSTGRES=").map(str::to_owned));
        let url = url.ok_or_else(|| anyhow::format_err!("no server was announced"))?;
        assert_eq!(process.stop(signal, DEADLINE).await?.code(), code);
        wait::until(DEADLINE, "the server is gone", async || sql(&url, "SELECT 1").await.is_err()).await?;
    }
    Ok(())
}

async fn process_says(process: &Process, words: &str) -> anyhow::Result<()> {
    wait::until(DEADLINE, "the command runs", async || process.log().ends_with(words)).await
}
