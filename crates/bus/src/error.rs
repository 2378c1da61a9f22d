//! Why the bus did not do what it was asked.

/// Why the bus did not do what it was asked, by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The bus does not answer. Trying again, from the last checkpoint, may help.
    #[error("the bus is not available: {0}")]
    Outage(String),
    /// Another publisher has taken this one's place: it must stop.
    #[error("another publisher has taken over")]
    Fenced,
    /// What was published is not on the bus any more: topics were made anew, or their disks were. It must be published
    /// again.
    #[error("the bus has lost what was published: {0}")]
    Lost(String),
    /// The bus is not what the settings say; the text says how to mend it.
    #[error("{0}")]
    Refused(String),
}
