//! Output that nobody reads any more.

use std::process::exit;

/// What shells say of whoever was ended by SIGPIPE: 128 and the signal's number.
const SIGPIPE: i32 = 141;

/// Whoever prints into a pipe that was closed, as `| head` does, ends without a word, as SIGPIPE ends others: Rust ignores that, and
/// its `print!` panics.
pub fn end_when_nobody_reads() {
    let otherwise = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let said = panic.payload_as_str().unwrap_or_default();
        if said.starts_with("failed printing to stdout") && said.contains("Broken pipe") {
            exit(SIGPIPE);
        }
        otherwise(panic);
    }));
}
