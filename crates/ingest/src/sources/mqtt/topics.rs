//! Which event a topic means.

use std::fmt;

/// What our own topics begin with: `cornjacket/v1/{subject}/{type}`.
///
/// The subject is everything up to the last level, and may have slashes: `cornjacket/v1/plant-7/pump-3/sensor.reading` is
/// about `plant-7/pump-3`. Its first level is the device, who alone may write below it where the broker is told so.
pub const PREFIX: &str = "cornjacket/v1/";

/// Brokers send such a topic twice, and there is no subscription of both instead.
const AMBIGUOUS: &str =
    "means topics that another one means, or that are ours, and neither means all of the other's";

/// Our own topics, and those that a setting maps to events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topics(Vec<Template>);

/// One mapped topic, such as `plants/{subject}/telemetry = sensor.reading` or `plants/{subject}/{type}`. Each name in
/// braces stands for one level.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Template {
    levels: Vec<Level>,
    /// Where no level says it.
    event_type: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Level {
    Text(String),
    Subject,
    Type,
}

/// A template that means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{template:?} {problem}")]
pub struct BadTemplate {
    template: String,
    problem: &'static str,
}

impl Topics {
    /// Our own topics and these templates; the first that fits counts.
    pub fn new<T: AsRef<str>>(templates: impl IntoIterator<Item = T>) -> Result<Self, BadTemplate> {
        let mut all: Vec<Template> = Vec::new();
        for text in templates {
            let template = Template::parse(text.as_ref())?;
            let is_ambiguous = |other: &Template| {
                template.meets(other) && !template.covers(other) && !other.covers(&template)
            };
            if all.iter().any(is_ambiguous) || template.meets_ours() {
                return Err(BadTemplate { template: text.as_ref().to_owned(), problem: AMBIGUOUS });
            }
            all.push(template);
        }
        Ok(Self(all))
    }

    /// The subject and the type that a topic means; nothing when it is none of these.
    pub fn place<'a>(&'a self, topic: &'a str) -> Option<(&'a str, &'a str)> {
        if let Some(rest) = topic.strip_prefix(PREFIX) {
            return rest.rsplit_once('/').filter(|(subject, name)| !subject.is_empty() && !name.is_empty());
        }
        self.0.iter().find_map(|template| template.place(topic))
    }

    /// What to subscribe to. Of filters that overlap, the widest: brokers may send a message once for each that it fits, and
    /// one without an id would be as many events.
    pub fn filters(&self) -> Vec<String> {
        let mapped = self.0.iter().enumerate().filter(|(at, _)| !self.is_covered(*at));
        std::iter::once(format!("{PREFIX}#"))
            .chain(mapped.map(|(_, template)| template.to_string()))
            .collect()
    }

    /// What needs no subscription beside [`Self::filters`].
    pub fn covered(&self) -> Vec<String> {
        let filters = self.filters();
        let mapped = self.0.iter().map(ToString::to_string);
        mapped.filter(|filter| !filters.contains(filter)).collect()
    }

    /// By another one; of two that are alike, by the first.
    fn is_covered(&self, at: usize) -> bool {
        let covers = |(by, other): (usize, &Template)| {
            by != at && other.covers(&self.0[at]) && (by < at || !self.0[at].covers(other))
        };
        self.0.iter().enumerate().any(covers)
    }
}

impl Template {
    fn parse(text: &str) -> Result<Self, BadTemplate> {
        let bad = |problem| BadTemplate { template: text.to_owned(), problem };
        let (topic, event_type) = match text.split_once('=') {
            Some((topic, event_type)) => (topic.trim(), Some(event_type.trim().to_owned())),
            None => (text.trim(), None),
        };
        if topic.starts_with(PREFIX) || topic.starts_with('$') || topic.contains(['+', '#']) {
            return Err(bad(
                "must be a topic without + and #, and none that begins with cornjacket/v1/ or $",
            ));
        }
        let levels: Vec<_> = topic.split('/').map(Level::of).collect();
        let count = |wanted: &Level| levels.iter().filter(|level| *level == wanted).count();
        if count(&Level::Subject) != 1 {
            return Err(bad("must have one level {subject}"));
        }
        let types =
            count(&Level::Type) + usize::from(event_type.as_ref().is_some_and(|name| !name.is_empty()));
        if types != 1 || event_type.as_ref().is_some_and(String::is_empty) {
            return Err(bad("must say the type once: as a level {type}, or behind ` = `"));
        }
        Ok(Self { levels, event_type })
    }

    /// Every topic of the other is one of this, too.
    fn covers(&self, other: &Self) -> bool {
        let covers = |(ours, theirs): (&Level, &Level)| ours.is_any() || (ours == theirs);
        self.levels.len() == other.levels.len() && self.levels.iter().zip(&other.levels).all(covers)
    }

    /// There is a topic of both.
    fn meets(&self, other: &Self) -> bool {
        let meet = |(ours, theirs): (&Level, &Level)| ours.is_any() || theirs.is_any() || ours == theirs;
        self.levels.len() == other.levels.len() && self.levels.iter().zip(&other.levels).all(meet)
    }

    /// There is a topic of it that means an event without it.
    fn meets_ours(&self) -> bool {
        let ours = PREFIX.trim_end_matches('/').split('/').map(Level::of);
        let meet = |(level, ours): (&Level, Level)| level.is_any() || *level == ours;
        self.levels.len() >= 4 && self.levels.iter().zip(ours).all(meet)
    }

    fn place<'a>(&'a self, topic: &'a str) -> Option<(&'a str, &'a str)> {
        let (mut subject, mut event_type) = (None, self.event_type.as_deref());
        let mut found = topic.split('/');
        for level in &self.levels {
            let name = found.next()?;
            match level {
                Level::Text(text) if text == name => {}
                Level::Text(_) => return None,
                Level::Subject => subject = Some(name),
                Level::Type => event_type = Some(name),
            }
        }
        found.next().is_none().then_some(())?;
        subject.zip(event_type).filter(|(subject, name)| !subject.is_empty() && !name.is_empty())
    }
}

/// As a filter of MQTT.
impl fmt::Display for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, level) in self.levels.iter().enumerate() {
            let slash = if at == 0 { "" } else { "/" };
            let text = if let Level::Text(text) = level { text } else { "+" };
            write!(formatter, "{slash}{text}")?;
        }
        Ok(())
    }
}

impl Level {
    fn of(text: &str) -> Self {
        match text {
            "{subject}" => Self::Subject,
            "{type}" => Self::Type,
            other => Self::Text(other.to_owned()),
        }
    }

    const fn is_any(&self) -> bool {
        matches!(self, Self::Subject | Self::Type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_of_ours_ends_with_the_type() {
        let topics = Topics::default();
        for (topic, place) in [
            ("cornjacket/v1/pump-7/sensor.reading", Some(("pump-7", "sensor.reading"))),
            ("cornjacket/v1/plant/pump-7/user.action", Some(("plant/pump-7", "user.action"))),
            ("cornjacket/v1/pump-7", None),
            ("cornjacket/v1//sensor.reading", None),
            ("cornjacket/v1/pump-7/", None),
            ("cornjacket/v2/pump-7/sensor.reading", None),
            ("", None),
        ] {
            assert_eq!(topics.place(topic), place, "{topic}");
        }
        assert_eq!(topics.filters(), ["cornjacket/v1/#"]);
    }

    #[test]
    fn templates_map_topics_of_others() {
        let topics = Topics::new(["plants/{subject}/telemetry = sensor.reading", "old/{type}/of/{subject}"]);
        let topics = topics.expect("good templates");
        for (topic, place) in [
            ("plants/pump-7/telemetry", Some(("pump-7", "sensor.reading"))),
            ("plants/pump-7/telemetry/raw", None),
            ("plants//telemetry", None),
            ("old/door.opened/of/door-3", Some(("door-3", "door.opened"))),
            ("cornjacket/v1/pump-7/sensor.reading", Some(("pump-7", "sensor.reading"))),
        ] {
            assert_eq!(topics.place(topic), place, "{topic}");
        }
        assert_eq!(topics.filters(), ["cornjacket/v1/#", "plants/+/telemetry", "old/+/of/+"]);
    }

    #[test]
    fn no_topic_is_subscribed_to_twice() {
        let narrow = ["plants/{subject}/telemetry = a", "plants/{subject}/{type}", "plants/{type}/{subject}"];
        let topics = Topics::new(narrow).expect("good templates");
        assert_eq!(topics.filters(), ["cornjacket/v1/#", "plants/+/+"]);
        assert_eq!(topics.covered(), ["plants/+/telemetry"]);
        assert_eq!(topics.place("plants/pump-7/telemetry"), Some(("pump-7", "a")), "the first that fits");
        assert!(
            Topics::new(["{subject}/{type}", "{subject}/{type}/set"]).is_ok(),
            "none of ours is an event"
        );
        for (one, other) in
            [("plants/{subject}/{type}", "{type}/of/{subject}"), ("x/{subject} = a", "{subject}/{type}/a/b")]
        {
            let refused = Topics::new([one, other]).expect_err(other).to_string();
            assert!(refused.contains(other) && refused.contains(AMBIGUOUS), "{refused}");
        }
    }

    #[test]
    fn a_template_that_means_nothing_is_refused() {
        for (template, problem) in [
            ("plants/telemetry = sensor.reading", "{subject}"),
            ("plants/{subject}/{subject} = a", "{subject}"),
            ("plants/{subject}", "the type once"),
            ("plants/{subject} = ", "the type once"),
            ("plants/{subject}/{type} = a", "the type once"),
            ("plants/+/{subject} = a", "without +"),
            ("cornjacket/v1/x/{subject} = a", "cornjacket/v1/"),
        ] {
            let refused = Topics::new([template]).expect_err(template).to_string();
            assert!(refused.contains(problem) && refused.contains(template), "{refused}");
        }
    }
}
