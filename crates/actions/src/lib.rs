//! Act: rules decide which events are told, and endpoints are told.

mod message;

pub use message::Message;
