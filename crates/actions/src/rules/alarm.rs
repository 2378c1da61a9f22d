//! Which alarm events are about, and when it is over.

use cornjacket_proto::actions as proto;

use super::checker::Fault;
use super::condition::Condition;
use super::template::Template;

/// What a key is when a rule does not say.
const DEFAULT_KEY: &str = "{{ rule }}/{{ event.subject }}";
/// Characters of a key, as `PagerDuty` has them at the most.
pub(super) const LONGEST_KEY: usize = 255;

/// The alarm of a rule.
#[derive(Debug)]
pub(super) struct Alarm {
    /// What becomes the key is its title.
    pub key: Template,
    /// When it is over.
    pub clear: Option<Condition>,
}

impl Alarm {
    /// Compiles; what is wrong is told by field.
    pub fn new(stated: &proto::AlarmRule) -> Result<Self, Vec<(&'static str, Fault)>> {
        let title = if stated.key.is_empty() { DEFAULT_KEY } else { &stated.key }.to_owned();
        let key = Template::new(Some(&proto::Template { title, text: String::new() }));
        let clear = Some(stated.clear_condition.trim()).filter(|source| !source.is_empty());
        let clear = clear.map(Condition::new).transpose();
        match (key, clear) {
            (Ok(key), Ok(clear)) => Ok(Self { key, clear }),
            (key, clear) => {
                let key = key.err().into_iter().flatten().map(|(_, fault)| ("key", fault));
                Err(key.chain(clear.err().map(|fault| ("clear_condition", fault))).collect())
            }
        }
    }
}
