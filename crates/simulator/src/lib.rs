//! Make-believe devices, users and services. What they send follows from a seed and from nothing else: the same
//! [`Options`] give the same events, byte for byte, on every machine and in every version.
//!
//! [`Simulation`] is the stream. Each actor (`device`, `user`, `service`) tells what happens to it next, by a clock of
//! its own that begins at [`Options::start`]; the simulation puts that in order of time, and `disorder` then makes some
//! events late and sends some twice. Nothing waits: whoever sends the events decides how fast.
//!
//! For ever the same is why the numbers come from `ChaCha` (its algorithm cannot change), why every actor has a stream
//! of its own (one more actor leaves the others as they were), and why sines and logarithms are `libm`'s and not the
//! machine's.

mod actor;
mod device;
mod disorder;
mod envelope;
mod fault;
mod options;
mod random;
mod service;
mod signal;
mod simulation;
mod user;

pub use fault::LABEL;
pub use options::{BadShare, Options, Share};
pub use simulation::{Sent, Simulation};
