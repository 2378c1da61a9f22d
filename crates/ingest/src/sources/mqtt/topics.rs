//! Which event a topic means.

use std::fmt;

/// What our own topics begin with: `cornjacket/v1/{subject}/{type}`.
///
/// The subject is everything up to the last level, and may have slashes: `cornjacket/v1/plant-7/pump-3/sensor.reading` is
/// about `plant-7/pump-3`. Its first level is the device, who alone may write below it where the broker is told so.
pub const PREFIX: &str = "cornjacket/v1/";

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
        let parse = |text: T| Template::parse(text.as_ref());
        templates.into_iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// The subject and the type that a topic means; nothing when it is none of these.
    pub fn place<'a>(&'a self, topic: &'a str) -> Option<(&'a str, &'a str)> {
        if let Some(rest) = topic.strip_prefix(PREFIX) {
            return rest.rsplit_once('/').filter(|(subject, name)| !subject.is_empty() && !name.is_empty());
        }
        self.0.iter().find_map(|template| template.place(topic))
    }

    /// What to subscribe to.
    pub fn filters(&self) -> Vec<String> {
        let mapped = self.0.iter().map(ToString::to_string);
        std::iter::once(format!("{PREFIX}#")).chain(mapped).collect()
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
        let topics = Topics::new(["plants/{subject}/telemetry = sensor.reading", "{type}/of/{subject}"]);
        let topics = topics.expect("good templates");
        for (topic, place) in [
            ("plants/pump-7/telemetry", Some(("pump-7", "sensor.reading"))),
            ("plants/pump-7/telemetry/raw", None),
            ("plants//telemetry", None),
            ("door.opened/of/door-3", Some(("door-3", "door.opened"))),
            ("cornjacket/v1/pump-7/sensor.reading", Some(("pump-7", "sensor.reading"))),
        ] {
            assert_eq!(topics.place(topic), place, "{topic}");
        }
        assert_eq!(topics.filters(), ["cornjacket/v1/#", "plants/+/telemetry", "+/of/+"]);
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
