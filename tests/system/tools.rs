//! Tools that users have: grpcurl, Python.

use std::time::Duration;

use cornjacket_testkit::Program;

use super::cornjacket::token;

const DEADLINE: Duration = Duration::from_mins(1);

/// A tool installed by `tests/setup`.
pub fn tool(name: &str) -> Program {
    match std::env::var_os("CORNJACKET_TEST_TOOLS") {
        Some(folder) => Program::new(std::path::Path::new(&folder).join(name)),
        None => Program::new(name),
    }
}

/// What `grpcurl -plaintext` prints, with a token for everything.
pub async fn grpcurl(arguments: &[&str]) -> anyhow::Result<String> {
    let token = format!("authorization: Bearer {}", token()?);
    tool("grpcurl").args(["-plaintext", "-H", &token]).args(arguments.iter().copied()).output(DEADLINE).await
}
