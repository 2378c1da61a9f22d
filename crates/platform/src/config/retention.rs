//! How long things are kept.

use std::time::Duration;

use cornjacket_actions::Keep;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[allow(clippy::struct_field_names, reason = "the unit is part of a setting's name")]
pub struct Retention {
    pub log_days: u32,
    pub state_days: u32,
    pub series_days: u32,
    pub dead_letter_days: u32,
    pub action_days: u32,
}

impl Retention {
    /// How long samples and roll-ups are kept.
    pub const fn series(&self) -> Duration {
        days(self.series_days)
    }

    /// How long what actions keep is kept. A consumer that is behind may decide on what is twice as old as the log is kept.
    pub const fn actions(&self) -> Keep {
        Keep { over: days(self.action_days), unread: days(2 * self.log_days) }
    }
}

const fn days(days: u32) -> Duration {
    Duration::from_hours(24 * days as u64)
}
