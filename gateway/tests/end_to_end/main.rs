//! The gateway as its clients see it, before services that are made up.
#![allow(missing_docs, reason = "tests")]

mod client;
mod connections;
mod failures;
mod fake;
mod large;
mod limits;
mod streams;
mod unary;
