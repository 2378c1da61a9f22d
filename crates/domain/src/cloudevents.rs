//! CloudEvents 1.0 ↔ [`cornjacket_proto::events::Event`], without loss both ways, for every door (HTTP, MQTT 5).
//!
//! Pure mapping (<https://github.com/cloudevents/spec>, 1.0.2): what makes an event valid is for [`crate::Event::new`]
//! to say. Here is refused only what has no place in our envelope, or what CloudEvents requires and is missing.
//!
//! | CloudEvents | Event |
//! | --- | --- |
//! | `id`, `source`, `type`, `subject` | the same; all four are required and never empty. A `source` that is no URI-reference goes out as it is. |
//! | `time` | `event_time` |
//! | `traceparent`, `tracestate` | `trace_context`; an empty one is none |
//! | other attributes | `attributes` |
//! | [`POSITION`], [`INGEST_TIME`], [`CLOCK_AHEAD`] | the server's fields; ignored on the way in |
//! | [`ATTRIBUTES`] | attributes whose name or value CloudEvents has no place for: canonical protobuf JSON, types kept |
//! | [`PAYLOAD`] | `struct`, `any` or `raw`: what the data is where the rules below would say otherwise |
//!
//! Names outside CloudEvents' `[a-z0-9]+` are taken when they come (MQTT clients send such), and leave in [`ATTRIBUTES`].
//!
//! **Types of attributes.** JSON keeps booleans, integers and strings. Binary mode has strings alone. Bytes, URIs,
//! URI-references and timestamps leave in their canonical string form; whatever has lost its type comes back as a
//! string.
//!
//! **Data**, the first rule that fits:
//!
//! 1. `data` with a `dataschema` that names a message of ours is that message in canonical protobuf JSON, or refused.
//!    Our own typed events leave so; the `dataschema` becomes no attribute.
//! 2. An object with `measurements` under `sensor.` is a `SensorReading`, or refused: as a `Struct` its samples would be
//!    missing and nobody would know. An object under `user.` or `system.` is a `UserAction` or `SystemEvent` when it is
//!    one with nothing left over.
//! 3. Another object is a `Struct`, as long as nothing is lost: its numbers are doubles, so that one with a number that a
//!    double does not give back (9007199254740993), a repeated name or more nesting than protobuf reads is rule 4.
//!    (Numbers of a message of ours are doubles by contract, and are rounded.)
//! 4. Other JSON is `Raw`, to the byte. Without a `datacontenttype`, `data` is `application/json`.
//! 5. `application/protobuf` with a `dataschema` is that message of ours, or an `Any` with it as type URL.
//! 6. Other bytes, `data_base64` and text are `Raw`; bytes of no type are `application/octet-stream`.
//!
//! `application/json` is not kept beside a message or `Struct`; another JSON type is, as attribute `datacontenttype`.

mod binary;
mod error;
pub mod http;
mod incoming;
mod json;
mod media;
mod messages;
mod names;
mod outgoing;
mod payload;
mod structured;

pub use binary::{Binary, from_binary, to_binary};
pub use error::Unreadable;
pub use media::{BATCH, Mode, STRUCTURED};
pub use messages::from_json;
pub use names::{ATTRIBUTES, CLOCK_AHEAD, INGEST_TIME, PAYLOAD, POSITION};
pub use structured::{from_batch, from_structured, to_batch, to_structured};

#[cfg(test)]
mod tests;
