//! What the tests stand on: real servers, child processes that never outlive them, and waiting on conditions.
//!
//! | module | what |
//! | --- | --- |
//! | [`shared`] | the PostgreSQL and the Kafka that all tests share, and a fresh database on it |
//! | [`traefik`] | a Traefik of a test's own, with the configuration that the project ships |
//! | [`postgres`], [`kafka`], [`mosquitto`] | a server of a test's own, to kill, pause and restart |
//! | [`program`], [`process`] | any other child process: the `cornjacket` binary, say |
//! | [`device`] | a device that speaks MQTT 3.1.1 byte by byte |
//! | [`http`] | a GET without a client |
//! | [`scratch`] | a temporary folder that goes even when the test process is killed |
//! | [`ports`] | loopback ports that nobody else gets |
//! | [`wait`] | waiting on a condition, with a deadline and a name for the error |
//!
//! The binary `with-servers` runs a command with both shared servers up: `tests/run` is made of it.
//! Linux only: it reads /proc and needs util-linux' setpriv. `tests/setup` installs the servers.

pub mod device;
pub mod http;
pub mod kafka;
pub mod mosquitto;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod program;
pub mod scratch;
pub mod shared;
mod spawner;
pub mod timescale;
pub mod traefik;
mod tree;
pub mod wait;

pub use kafka::Kafka;
pub use mosquitto::Mosquitto;
pub use postgres::Postgres;
pub use process::Process;
pub use program::Program;
pub use rustix::process::Signal;
pub use scratch::Scratch;
pub use shared::{fresh_database, shared_kafka, shared_postgres};
pub use timescale::Timescale;
pub use traefik::Traefik;
