//! Actions at a terminal: rules of a file, which is the one that the README shows, and a receiver there.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use cornjacket_testkit::{Program, ports, wait};

use super::cornjacket::{Cornjacket, operator, stop};
use super::events::reading;
use super::told::{SETTINGS, SOON};

const DEADLINE: Duration = Duration::from_mins(1);
const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");

/// The rules that the README shows.
fn rules() -> anyhow::Result<String> {
    let readme = std::fs::read_to_string(README)?;
    let begin = readme.find("[[rules]]").context("the README shows rules")?;
    let length = readme[begin..].find("```").context("a block ends")?;
    Ok(readme[begin..begin + length].to_owned())
}

/// Verbs beside a running one.
pub(super) fn verbs(cornjacket: &Cornjacket) -> anyhow::Result<Program> {
    let actions = format!("127.0.0.1:{}", cornjacket.actions);
    Ok(operator()?.env("CORNJACKET__ACTIONS__LISTEN", actions))
}

pub(super) async fn says(verbs: &Program, arguments: &[&str]) -> anyhow::Result<String> {
    verbs.clone().args(arguments.iter().copied()).output(DEADLINE).await
}

/// Makes an endpoint as a person does: what it prints on standard output alone.
pub(super) async fn key(verbs: &Program, url: &str) -> anyhow::Result<String> {
    let made = says(verbs, &["endpoints", "create", "pager", "webhook", "--url", url]).await?;
    let key = made.split_whitespace().find(|word| word.starts_with("whsec_"));
    Ok(key.with_context(|| made.clone())?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_of_a_file_are_told_to_a_terminal() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite://{}", folder.path().join("cornjacket.db").display());
    let cornjacket = Cornjacket::new(&[&[("store.url", url.as_str())], &SETTINGS[..]].concat())?;
    let process = cornjacket.start().await?;
    let (verbs, port) = (verbs(&cornjacket)?, ports::free_port()?);
    let file = folder.path().join("rules.toml");
    std::fs::write(&file, rules()?)?;
    let apply = ["apply", "-f", path(&file)?];
    let early = says(&verbs, &apply).await.expect_err("there is no endpoint");
    assert!(format!("{early:#}").contains("rule.endpoints[0]"), "{early:#}");
    let twice = folder.path().join("twice.toml");
    std::fs::write(&twice, [rules()?, rules()?].join("\n"))?;
    let twice = says(&verbs, &["apply", "-f", path(&twice)?]).await.expect_err("two of one name");
    let said = "rules[1] \"too-hot\": there is one of that name before it";
    assert!(format!("{twice:#}").contains(said), "{twice:#}");

    let at = format!("127.0.0.1:{port}");
    let key = key(&verbs, &format!("http://{at}")).await?;
    assert_eq!(says(&verbs, &apply).await?, "rule too-hot: made\n");
    assert_eq!(says(&verbs, &apply).await?, "rule too-hot: as it was\n");
    let listen = operator()?.args(["listen", "--listen", &at, "--key", &key]).log(folder.path().join("told"));
    let mut listener = listen.spawn()?;
    wait::until(SOON, "it listens", async || listener.log().contains("listening at")).await?;
    let tested = says(&verbs, &["endpoints", "test", "pager"]).await?;
    assert!(tested.starts_with("pager: delivered to 127.0.0.1:"), "{tested}");

    cornjacket.append(reading("pump-7", "hot", 99.0)).await?;
    let told = wait::until_some(SOON, "a line is printed", async || {
        listener.log().lines().find(|line| line.contains("[too-hot]")).map(str::to_owned)
    });
    let told = told.await.with_context(|| listener.log())?;
    assert!(told.ends_with("[too-hot] pump-7 is too hot  (sensor.reading of pump-7)"), "{told}");
    for (verb, wanted) in [
        (&["rules", "list"][..], "too-hot  1"),
        (&["endpoints", "list"], "pager     webhook"),
        (&["deliveries", "list"], "delivered"),
        (&["alarms", "list"], "too-hot/pump-7  open"),
        (&["explain", "system-test", "hot"], "too-hot told it: it arrived at pager with attempt 1"),
        (&["silences", "list"], "silence"),
    ] {
        let said = says(&verbs, verb).await?;
        assert!(said.contains(wanted), "{verb:?}: {said}");
    }
    // What it would tell, which nobody is told.
    let tried = says(&verbs, &["rules", "test", "too-hot", "--since", "1h"]).await?;
    assert!(tried.contains("[raised] pump-7 is too hot"), "{tried}");
    assert!(tried.contains("too-hot: means 1 of ") && tried.ends_with("looked at: 1 sent\n"), "{tried}");
    let event = folder.path().join("event.json");
    let hot = r#"{"source": "plant", "type": "sensor.reading", "subject": "pump-8", "sensorReading":
        {"measurements": [{"metric": "temperature", "value": 95, "unit": "Cel"}]}}"#;
    std::fs::write(&event, hot)?;
    let tried = says(&verbs, &["rules", "test", path(&file)?, "--event", path(&event)?, "--json"]).await?;
    assert!(tried.contains("pump-8 is too hot") && tried.contains("CHANGE_RAISED"), "{tried}");
    // What the README leaves to whoever wants it can be had.
    std::fs::write(&file, rules()?.replace("# activeTimes", "activeTimes"))?;
    assert_eq!(says(&verbs, &apply).await?, "rule too-hot: changed\n");
    let shown = says(&verbs, &["rules", "get", "too-hot"]).await?;
    assert!(shown.contains("DAY_SUNDAY") && shown.contains("17:30"), "{shown}");
    listener.kill9().await?;
    stop(process).await
}

fn path(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path in UTF-8")
}
