//! The edge: JSON over HTTP becomes calls of the services, as their `google.api.http` annotations say.
//!
//! [`Gateway::new`] reads the annotations of every service in the contract into [`Routes`]. A request is looked up there,
//! bound to a request message, and sent as bytes to the service's [`Upstream`]; what comes back is JSON again, or a
//! [`Problem`]. There is no logic of any service in here, and no line for any method.
//!
//! ```text
//! routes (template) ─► body ─► bind (json, query, scalar) ─► upstream (codec) ─► json | stream | problem
//! ```

mod annotation;
mod any;
mod bind;
mod body;
pub mod cloudevents;
mod codec;
mod connection;
mod context;
mod error;
mod field_error;
mod field_path;
mod framing;
mod gateway;
mod guard;
mod idempotency;
pub mod json;
mod layers;
mod offload;
pub mod openapi;
mod options;
mod problem;
mod query;
mod route;
mod routes;
mod scalar;
mod server;
mod stream;
pub mod template;
mod timeout;
mod transcode;
mod upstream;

pub use bind::bind;
pub use body::{BodyLimits, read as read_body};
pub use codec::BytesCodec;
pub use context::{CallContext, REQUEST_ID, request_id};
pub use error::BuildError;
pub use field_error::FieldError;
pub use field_path::FieldPath;
pub use gateway::Gateway;
pub use guard::Guard;
pub use options::{ConnectionOptions, Options};
pub use problem::Problem;
pub use route::{BodyRule, Keyed, Route};
pub use routes::{Found, Routes};
pub use server::{plain, serve};
pub use template::Template;
pub use upstream::Upstream;
