//! The verbs of the binary, a file for each.

pub mod dev;
pub mod migrate;
pub mod serve;
