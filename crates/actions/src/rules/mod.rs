//! Rules: which events are told of, how much they matter, and in which words.
//!
//! A [`Rule`] is made of a definition that anybody may have written, and made it has nothing left that can go wrong but what an event
//! brings: a condition that says neither yes nor no ([`ConditionFailed`]), a template that cannot be rendered of it ([`RenderFailed`]). It has
//! no clock and no store: who decides asks it whether it [looks at](Rule::matches) an event, whether its condition
//! [holds](Rule::holds), and what it [says](Rule::render).

mod active;
mod alarm;
mod calls;
mod checker;
mod condition;
mod definition;
mod grouping;
mod matching;
mod seen;
mod snippets;
mod tags;
mod template;
mod types;
mod view;

use std::time::Duration;

use cornjacket_domain::Timestamp;
use cornjacket_proto::actions::Severity;
use cornjacket_proto::events::Event;
use cornjacket_proto::events::anomaly_detected::Severity as Found;
use cornjacket_proto::events::event::Payload;

pub use condition::ConditionFailed;
pub use definition::LONGEST_WINDOW;
pub use grouping::Pace;
pub use snippets::Snippets;
pub use template::{Escape, RenderFailed, Rendered};
pub use view::View;

use active::ActiveTimes;
use alarm::{Alarm, LONGEST_KEY};
use condition::Condition;
use grouping::Grouping;
use matching::Matching;
use template::Template;

/// A rule that has been checked.
#[derive(Debug)]
pub struct Rule {
    name: String,
    version: u32,
    matching: Matching,
    condition: Option<Condition>,
    severity: Option<Severity>,
    template: Template,
    alarm: Option<Alarm>,
    grouping: Option<Grouping>,
    digest: bool,
    endpoints: Vec<String>,
    deduplication_window: Duration,
    max_age: Duration,
    active_times: Option<ActiveTimes>,
    disabled: bool,
}

impl Rule {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its version, from 1.
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// Names of the endpoints that are told: never none.
    pub fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    /// For how long more of the same is not told; not at all when zero.
    pub const fn deduplication_window(&self) -> Duration {
        self.deduplication_window
    }

    /// How long ago an event may have been stored that is still told.
    pub const fn max_age(&self) -> Duration {
        self.max_age
    }

    /// Why it tells nothing at that time; nothing when it does.
    pub fn muted(&self, now: Timestamp) -> Option<String> {
        self.active_times.as_ref().and_then(|times| times.muted(now))
    }

    /// Whether it decides nothing for now. [`Self::matches`] leaves this aside, so that a rule can be tried before it is enabled.
    pub const fn is_disabled(&self) -> bool {
        self.disabled
    }

    /// Whether it looks at the event at all: by type and subject.
    pub fn matches(&self, event: &Event) -> bool {
        self.matching.matches(event)
    }

    /// The one type and the one subject that it looks at, where it names no more of them.
    pub fn only(&self) -> (Option<&str>, Option<&str>) {
        self.matching.only()
    }

    /// Whether its condition is true of the event.
    pub fn holds(&self, view: &View<'_>) -> Result<bool, ConditionFailed> {
        self.condition.as_ref().map_or(Ok(true), |condition| condition.holds(view))
    }

    /// Whether what it means is an alarm.
    pub const fn has_alarm(&self) -> bool {
        self.alarm.is_some()
    }

    /// Whether its alarm is over with the event; never, when it has none.
    pub fn clears(&self, view: &View<'_>) -> Result<bool, ConditionFailed> {
        let clear = self.alarm.as_ref().and_then(|alarm| alarm.clear.as_ref());
        clear.map_or(Ok(false), |clear| clear.holds(view))
    }

    /// The key of the alarm that the event is about: nothing when the rule has no alarm.
    pub fn alarm_key(&self, view: &View<'_>) -> Result<Option<String>, RenderFailed> {
        let Some(alarm) = &self.alarm else { return Ok(None) };
        let key = self.key(&alarm.key, view)?;
        if key.is_empty() {
            return Err(RenderFailed("the key of its alarm is empty".to_owned()));
        }
        Ok(Some(key))
    }

    /// When its groups are told: nothing when what it tells is told by itself.
    pub fn pace(&self) -> Option<Pace> {
        self.grouping.as_ref().map(|grouping| grouping.pace)
    }

    /// The key of the group that the event falls into: nothing when the rule has no groups.
    pub fn group_key(&self, view: &View<'_>) -> Result<Option<String>, RenderFailed> {
        let Some(grouping) = &self.grouping else { return Ok(None) };
        grouping.key.as_ref().map_or_else(|| Ok(Some(String::new())), |key| self.key(key, view).map(Some))
    }

    /// Whether what piles up is told as one.
    pub const fn gathers(&self) -> bool {
        self.digest
    }

    fn key(&self, key: &Template, view: &View<'_>) -> Result<String, RenderFailed> {
        let severity = self.severity(view.event());
        let key = key.render(view, &self.name, severity, Escape::Plain)?.title;
        Ok(key.chars().take(LONGEST_KEY).collect())
    }

    /// How much the event matters: as the rule says, else as the event says, else as a warning does.
    pub fn severity(&self, event: &Event) -> Severity {
        self.severity.or_else(|| severity_of(event)).unwrap_or(Severity::Warning)
    }

    /// What is said of the event, for a channel that reads texts so.
    pub fn render(&self, view: &View<'_>, escape: Escape) -> Result<Rendered, RenderFailed> {
        self.template.render(view, &self.name, self.severity(view.event()), escape)
    }
}

fn severity_of(event: &Event) -> Option<Severity> {
    let found = match event.payload.as_ref()? {
        Payload::AnomalyDetected(anomaly) => anomaly.severity(),
        Payload::BreachExpected(breach) => breach.severity(),
        _ => return None,
    };
    match found {
        Found::Unspecified => None,
        Found::Info => Some(Severity::Info),
        Found::Warning => Some(Severity::Warning),
        Found::Critical => Some(Severity::Critical),
    }
}

#[cfg(test)]
mod tests;
