//! The verbs of the binary, a file for each.

pub mod bench;
pub mod dev;
pub mod migrate;
pub mod serve;
