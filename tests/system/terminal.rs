//! What people say at a terminal, and what they are told.

use std::time::Duration;

use cornjacket_testkit::Program;

use super::cornjacket::{Cornjacket, operator, stop};

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
