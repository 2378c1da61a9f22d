//! The Cornjacket contract as Rust types: events, services, and the one table from kinds of error to status codes.
//!
//! Feature `client` adds the generated gRPC clients, `server` the service traits and servers.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, MessageDescriptor};

pub use prost_reflect::DynamicMessage;
pub use prost_types::{Any, Struct, Timestamp};

pub mod deadline;
pub mod json;
mod redacted;
pub mod status;
#[cfg(any(feature = "client", feature = "server"))]
pub mod wire;

/// `cornjacket.*`: events and services.
pub mod cornjacket {
    /// Acting on events.
    pub mod actions {
        /// Version 1 of the action service.
        #[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated")]
        pub mod v1 {
            tonic::include_proto!("cornjacket.actions.v1");
        }
    }
    /// Operating a running system.
    pub mod admin {
        /// Version 1 of the admin service.
        #[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated")]
        pub mod v1 {
            tonic::include_proto!("cornjacket.admin.v1");
        }
    }
    /// The events.
    pub mod events {
        /// Version 1 of the events.
        #[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated")]
        pub mod v1 {
            tonic::include_proto!("cornjacket.events.v1");
        }
    }
    /// Taking events in.
    pub mod ingest {
        /// Version 1 of the ingest service.
        #[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated")]
        pub mod v1 {
            tonic::include_proto!("cornjacket.ingest.v1");
        }
    }
    /// Asking for events and state.
    pub mod query {
        /// Version 1 of the query service.
        #[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated")]
        pub mod v1 {
            tonic::include_proto!("cornjacket.query.v1");
        }
    }
}

/// `google.*`: the error model that every service answers with.
pub mod google {
    /// `google.api`: HTTP annotations; they are read from the descriptors, not from these types.
    #[allow(missing_docs, clippy::all, clippy::pedantic, rustdoc::all, reason = "generated")]
    pub mod api {
        tonic::include_proto!("google.api");
    }
    /// `google.rpc`: Status and its details.
    #[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated")]
    pub mod rpc {
        tonic::include_proto!("google.rpc");
    }
}

pub use cornjacket::{
    actions::v1 as actions, admin::v1 as admin, events::v1 as events, ingest::v1 as ingest,
    query::v1 as query,
};

/// The encoded `FileDescriptorSet` of everything in `proto/`, with comments and `google.api.http` options.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.binpb"));

/// The descriptors of everything in `proto/`, for reflection on messages.
pub static DESCRIPTOR_POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).expect("the build wrote a valid descriptor set"));

/// The descriptor of a generated message.
pub fn descriptor_of<M: prost::Name>() -> MessageDescriptor {
    DESCRIPTOR_POOL
        .get_message_by_name(&M::full_name())
        .expect("every generated message is in the descriptor set it was generated from")
}

/// Decodes `bytes` as a message of type `M` that can be read by reflection, for canonical JSON above all.
pub fn decode_dynamic<M: prost::Name>(bytes: &[u8]) -> Result<DynamicMessage, prost::DecodeError> {
    DynamicMessage::decode(descriptor_of::<M>(), bytes)
}
