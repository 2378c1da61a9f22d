//! Tools that users have: grpcurl, Python.

use std::time::Duration;

use cornjacket_testkit::Program;

const DEADLINE: Duration = Duration::from_mins(1);

/// A tool installed by `tests/setup`.
pub fn tool(name: &str) -> Program {
    match std::env::var_os("CORNJACKET_TEST_TOOLS") {
        Some(folder) => Program::new(std::path::Path::new(&folder).join(name)),
        None => Program::new(name),
    }
}

/// What `grpcurl -plaintext` prints.
pub async fn grpcurl(arguments: &[&str]) -> anyhow::Result<String> {
    tool("grpcurl").arg("-plaintext").args(arguments.iter().copied()).output(DEADLINE).await
}
