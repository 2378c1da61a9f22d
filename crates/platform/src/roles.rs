//! What a process does.

use std::fmt;

use clap::ValueEnum;

/// A part of Cornjacket that can run in a process of its own, as often as needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Takes events in.
    Ingest,
    /// Takes in what devices publish at an MQTT broker; without a broker there is nothing to do.
    Mqtt,
    /// Publishes the log on Kafka; with the embedded bus there is nothing to do.
    Relay,
    /// Makes state of events.
    Projector,
    /// Makes time series of what devices measure.
    Inference,
    /// Decides what is told of events, and tells it.
    Actions,
    /// Answers questions.
    Query,
    /// Translates HTTP/JSON into calls of the services.
    Gateway,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 8] = [
        Self::Ingest,
        Self::Mqtt,
        Self::Relay,
        Self::Projector,
        Self::Inference,
        Self::Actions,
        Self::Query,
        Self::Gateway,
    ];
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Ingest => "ingest",
            Self::Mqtt => "mqtt",
            Self::Relay => "relay",
            Self::Projector => "projector",
            Self::Inference => "inference",
            Self::Actions => "actions",
            Self::Query => "query",
            Self::Gateway => "gateway",
        })
    }
}
