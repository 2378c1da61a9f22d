//! Every limit on what comes in, stated.

/// Limits on events and batches. The defaults are those of the documentation; each is a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one event, encoded.
    pub event_bytes: usize,
    /// Events of one batch.
    pub batch_events: usize,
    /// Bytes of one batch, encoded.
    pub batch_bytes: usize,
    /// Attributes of one event.
    pub attributes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { event_bytes: 256 << 10, batch_events: 5_000, batch_bytes: 4 << 20, attributes: 64 }
    }
}
