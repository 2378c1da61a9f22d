//! Acknowledged means synced: a server that would not sync is refused, and the sync is seen between request and
//! reply.

use cornjacket_proto::ingest::AppendRequest;
use cornjacket_testkit::{Postgres, Program, Signal};

use super::cornjacket::{Cornjacket, stop};
use super::events::reading;

#[tokio::test(flavor = "multi_thread")]
async fn postgres_without_syncing_is_refused() -> anyhow::Result<()> {
    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        let postgres = Postgres::start_with(&[(setting, "off")]).await?;
        let said = Cornjacket::new(&[("store.url", &postgres.url("postgres"))])?.refuse().await?;
        assert!(said.contains(&format!("{setting}=off")), "{said}");
    }
    // Whoever insists gets it, and is told.
    let postgres = Postgres::start_with(&[("fsync", "off")]).await?;
    let url = postgres.url("postgres");
    let insisting = Cornjacket::new(&[("store.url", &url), ("store.allow_unsafe_durability", "true")])?;
    let process = insisting.start().await?;
    assert!(process.log().contains("an acknowledged event could be lost"), "{}", process.log());
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_one_sqlite_file_is_refused() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let process = Cornjacket::embedded(folder.path())?.start().await?;
    let said = Cornjacket::embedded(folder.path())?.refuse().await?;
    assert!(said.contains("another process has this database open"), "{said}");
    stop(process).await
}

/// kill -9 cannot show durability, since the system's cache outlives the process. The order of system calls does:
/// request in, sync, reply out.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_synced_between_request_and_reply() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cornjacket = Cornjacket::embedded(folder.path())?.roles("ingest");
    let process = cornjacket.start().await?;
    let mut ingest = cornjacket.ingest().await?;
    let append = |id: &str| AppendRequest { event: Some(reading("pump", id, 1.0)) };
    ingest.append(append("before")).await?;

    let trace = folder.path().join("trace");
    let strace =
        Program::new("strace").args(["-f", "-s", "200", "-e", "trace=fdatasync,fsync,write,writev,sendto"]);
    let said = folder.path().join("strace");
    let mut strace =
        strace.log(&said).arg("-o").arg(&trace).args(["-p".to_owned(), process.id().to_string()]).spawn()?;
    let attached = async || std::fs::read_to_string(&said).is_ok_and(|said| said.contains("attached"));
    strace.until_ready(std::time::Duration::from_secs(20), "strace to be attached", attached).await?;
    ingest.append(append("traced-event-id")).await?;
    strace.stop(Signal::INT, std::time::Duration::from_secs(20)).await?;

    let calls = std::fs::read_to_string(&trace)?;
    let replied =
        calls.lines().position(|call| !call.contains("fdatasync") && call.contains("traced-event-id"));
    let synced = calls.lines().position(|call| call.contains("fdatasync(") || call.contains("fsync("));
    let (Some(synced), Some(replied)) = (synced, replied) else {
        anyhow::bail!("synced {synced:?}, replied {replied:?}:\n{calls}");
    };
    assert!(synced < replied, "{calls}");
    stop(process).await
}
