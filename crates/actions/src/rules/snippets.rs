//! Templates of a channel's settings: as those of rules, bounded alike, each escaped for where it stands.

use cornjacket_domain::violation::{Reason, brief};
use minijinja::{Environment, Value};

use super::template::{self, Cut, Escape, RenderFailed};

/// Templates by name.
#[derive(Debug)]
pub struct Snippets {
    environment: Environment<'static>,
}

impl Default for Snippets {
    fn default() -> Self {
        Self { environment: template::environment() }
    }
}

impl Snippets {
    /// Adds one of at most so many characters; or says what is wrong with it.
    pub fn add(
        &mut self,
        name: &str,
        source: &str,
        escape: Escape,
        longest: usize,
    ) -> Result<(), (Reason, String)> {
        template::check(source, longest)
            .and_then(|()| template::add_for(&mut self.environment, name, source, escape))
            .and_then(|()| {
                let unknown = template::unknown(&self.environment, &template::template_name(name, escape));
                unknown.map_or(Ok(()), Err)
            })
            .map_err(|fault| (fault.reason, fault.description))
    }

    /// What it says, in so many bytes at the most.
    pub fn render(
        &self,
        name: &str,
        said: &Value,
        escape: Escape,
        most: usize,
    ) -> Result<String, RenderFailed> {
        let failed = |error: &str| RenderFailed(format!("{name}: {}", brief(error)));
        let found = self.environment.get_template(&template::template_name(name, escape));
        let found = found.map_err(|error| failed(&template::told(&error)))?;
        let mut written = Cut::new(most);
        let rendered = found.render_captured_to(said, &mut written).map(drop);
        if written.full {
            return Err(failed(&format!("becomes more than {most} bytes")));
        }
        rendered.map_err(|error| failed(&template::told(&error)))?;
        String::from_utf8(written.text).map_err(|error| failed(&error.to_string()))
    }
}
