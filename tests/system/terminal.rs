//! What people say at a terminal, and what they are told.

use std::process::{Command, Stdio};
use std::time::Duration;

use cornjacket_testkit::{Program, wait};

use super::cornjacket::{Cornjacket, operator, stop};
use super::events::reading;

const DEADLINE: Duration = Duration::from_mins(1);

/// A terminal in front of a running one.
struct Terminal {
    verbs: Program,
}

impl Terminal {
    fn of(cornjacket: &Cornjacket) -> anyhow::Result<Self> {
        let server = format!("127.0.0.1:{}", cornjacket.query);
        Ok(Self { verbs: operator()?.env("CORNJACKET__QUERY__LISTEN", server) })
    }

    /// What a verb prints.
    async fn says(&self, verb: &[&str]) -> anyhow::Result<String> {
        self.verbs.clone().args(verb.iter().copied()).output(DEADLINE).await
    }

    /// What a verb prints that does not succeed.
    async fn refuses(&self, verb: &[&str]) -> String {
        match self.says(verb).await {
            Ok(said) => panic!("{verb:?} was not refused: {said}"),
            Err(error) => format!("{error:#}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_version_of_a_model_watches_what_the_one_before_did() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cornjacket = Cornjacket::embedded(folder.path())?;
    let process = cornjacket.start().await?;
    let terminal = Terminal::of(&cornjacket)?;
    let register = |parameters: &'static str| vec!["models", "register", "hot", "threshold", parameters];
    let scope = ["--subjects", "pump-*", "--metrics", "temperature"];
    let first = terminal.says(&[&register(r#"{"upper": 80}"#)[..], &scope].concat()).await?;
    assert_eq!(first, "hot/1: active, subjects pump-*, metrics temperature\n");
    let second = terminal.says(&register(r#"{"upper": 85}"#)).await?;
    assert_eq!(second, "hot/2: active, subjects pump-*, metrics temperature\n");
    let wider = [&register(r#"{"upper": 85}"#)[..], &["--subjects", "*", "--mode", "shadow"]].concat();
    assert_eq!(terminal.says(&wider).await?, "hot/3: shadow, subjects *, metrics temperature\n");
    let slip = [&register(r#"{"upper": 85}"#)[..], &["--subjects", ""]].concat();
    let refused = terminal.refuses(&slip).await;
    assert!(refused.contains("--subjects") && refused.contains("must not be empty"), "{refused}");
    let other = terminal.says(&["models", "register", "odd", "seasonal"]).await?;
    assert_eq!(other, "odd/1: active, subjects *, metrics *\n");
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_named_by_its_field() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cornjacket = Cornjacket::embedded(folder.path())?;
    let process = cornjacket.start().await?;
    let terminal = Terminal::of(&cornjacket)?;
    terminal.says(&["models", "register", "hot", "threshold", r#"{"upper": 80}"#]).await?;
    for (id, value) in [("1", 20.0), ("2", 99.0)] {
        cornjacket.append(reading("pump-7", id, value)).await?;
    }
    let found = wait::until_some(DEADLINE, "an anomaly", async || {
        terminal
            .says(&["anomalies", "--subject", "pump-7", "--json"])
            .await
            .ok()
            .filter(|it| it.contains("\"id\""))
    });
    let found: serde_json::Value = serde_json::from_str(&found.await?)?;
    let id = found["anomalies"][0]["id"].as_str().unwrap_or_default();
    let said = terminal.says(&["feedback", "false-alarm", id]).await?;
    assert!(said.starts_with("hot/1 in temperature of pump-7: a false alarm; its bar is"), "{said}");
    let time = "2020-01-01T00:00:00Z";
    for (verb, field) in [
        (&["anomalies", "--subject", "nobody"][..], "subject: there is no series of \"nobody\""),
        (&["anomalies", "--subject", "pump-7", "--metric", "x"], "metric: there is no series \"x\""),
        (&["anomalies", "--model", "cold"], "model: there is no model \"cold\""),
        (&["forecast", "nobody", "temperature"], "subject: there is no series"),
        (&["forecast", "pump-7", "x"], "metric: there is no series"),
        (&["series", "pump-7", "temperature", "--model", "cold"], "model: there is no model"),
        (&["models", "set", "cold", "1", "off"], "name: there is no model"),
        (&["models", "set", "hot", "9", "off"], "version: there is no version 9"),
        (
            &["feedback", "missed", "pump-7", "temperature", "hot", time],
            "missed.time: the series has no sample",
        ),
        (&["feedback", "missed", "nobody", "temperature", "hot", time], "missed.subject: there is no series"),
        (&["backtest", "--model", "cold"], "model: there is no model"),
        (&["backtest", "--model", "hot", "--subjects", "nobody"], "subjects: there is no series"),
    ] {
        let refused = terminal.refuses(verb).await;
        assert!(refused.contains(field) && refused.contains("NotFound"), "{verb:?}: {refused}");
    }
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_goes_on_where_it_was_after_a_restart() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cornjacket = Cornjacket::embedded(folder.path())?;
    let terminal = Terminal::of(&cornjacket)?;
    let verb = ["events", "tail", "--subject", "pump-7"];
    let refused = terminal.refuses(&verb).await;
    assert!(refused.contains("no connection"), "nobody was ever there: {refused}");
    let process = cornjacket.start().await?;
    let stranger = terminal.verbs.clone().env("CORNJACKET_TOKEN", "x").args(verb).output(DEADLINE).await;
    let stranger = stranger.expect_err("it is no token").to_string();
    assert!(stranger.contains("Unauthenticated") && stranger.contains("`cornjacket token`"), "{stranger}");

    let log = folder.path().join("tail.log");
    let tail = terminal.verbs.clone().args(verb).log(&log).spawn()?;
    let printed = async |text: &str| {
        wait::until(DEADLINE, text, async || {
            std::fs::read_to_string(&log).is_ok_and(|log| log.contains(text))
        })
        .await
    };
    cornjacket.append(reading("pump-7", "before", 20.0)).await?;
    printed("\"id\":\"before\"").await?;
    stop(process).await?;
    printed("the tail is cut off").await?;
    let process = cornjacket.start().await?;
    cornjacket.append(reading("pump-7", "after", 21.0)).await?;
    printed("\"id\":\"after\"").await?;
    let said = std::fs::read_to_string(&log)?;
    assert_eq!(said.matches("\"id\":\"before\"").count(), 1, "it goes on, and does not begin again: {said}");
    drop(tail);
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn slips_are_told_as_what_they_are() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cornjacket = Cornjacket::embedded(folder.path())?;
    let process = cornjacket.start().await?;
    let elsewhere = Terminal { verbs: operator()? };
    let server = format!("127.0.0.1:{}", cornjacket.query);
    let behind = ["models", "register", "hot", "threshold", r#"{"upper": 80}"#, "--server", &server];
    assert!(elsewhere.says(&behind).await?.starts_with("hot/1: active"), "a flag may stand behind its verb");
    let terminal = Terminal::of(&cornjacket)?;
    for (verb, told) in [
        (["hot", "threshold", r#"{"upper": "high"}"#], "model.parameters.upper: "),
        (["wear", "remote", "{}"], "model.parameters.url: is missing"),
        (["too hot", "threshold", r#"{"upper": 80}"#], "model.name: must be 1 to 63 of a-z"),
        (["a/b", "threshold", r#"{"upper": 80}"#], "model.name: must be 1 to 63 of a-z"),
    ] {
        let refused = terminal.refuses(&[&["models", "register"][..], &verb].concat()).await;
        assert!(refused.contains(told), "{verb:?}: {refused}");
    }
    stop(process).await
}

/// As `| head` does.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_longer_read_ends_without_a_word() -> anyhow::Result<()> {
    let mut verb = Command::new(env!("CARGO_BIN_EXE_cornjacket"));
    let mut verb = verb.arg("config").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    drop(verb.stdout.take());
    let ended = tokio::task::spawn_blocking(move || verb.wait_with_output()).await??;
    let said = String::from_utf8(ended.stderr)?;
    assert!(said.is_empty(), "{said}");
    Ok(())
}
