//! What is said: a title and a text, of templates in the language of Jinja.

use std::io::{self, Write};

use cornjacket_domain::violation::{Reason, brief};
use cornjacket_proto::actions::{self as proto, Severity};
use minijinja::{AutoEscape, Environment, Error, Output, State, UndefinedBehavior, Value, context};

use super::checker::{Fault, too_many};
use super::tags;
use super::view::View;
use crate::severity;

/// Characters of a title: of its template, and of what it becomes.
pub(super) const LONGEST_TITLE: usize = 1_024;
/// Characters of a text, likewise.
pub(super) const LONGEST_TEXT: usize = 16_384;
/// Steps of a template.
const FUEL: u64 = 20_000;
/// What is said when a rule does not say.
const DEFAULT_TITLE: &str = include_str!("default_title.jinja");
const DEFAULT_TEXT: &str = include_str!("default_text.jinja");

/// How a channel reads texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// As they are.
    Plain,
    /// As Slack does: `&`, `<` and `>` begin something else, unless they are escaped
    /// (<https://docs.slack.dev/messaging/formatting-message-text>). What the template itself says is left as it is.
    Slack,
    /// As JSON: texts for between quotes, anything else as JSON has it.
    Json,
    /// As a part of a URL: percent-encoded, but for what is unreserved (RFC 3986).
    Url,
}

/// What is said, escaped for the channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// One line of at most 1,024 characters, without control characters.
    pub title: String,
    /// At most 16,384 characters, without control characters other than tabs and ends of lines.
    pub text: String,
}

/// Why nothing can be said of an event in a template's words. It would fail again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the template fails: {0}")]
pub struct RenderFailed(pub String);

/// Templates that have been compiled.
#[derive(Debug)]
pub(super) struct Template {
    environment: Environment<'static>,
}

impl Template {
    /// Compiles; a title or text that is empty is that which rules have that state none, but for the text of a rule that states a title.
    pub(super) fn new(stated: Option<&proto::Template>) -> Result<Self, Vec<(&'static str, Fault)>> {
        let (title, text) = stated.map_or(("", ""), |stated| (stated.title.as_str(), stated.text.as_str()));
        let default_text = if title.is_empty() { DEFAULT_TEXT } else { "" };
        let mut environment = environment();
        let mut faults = Vec::new();
        for (field, source, default, longest) in
            [("title", title, DEFAULT_TITLE, LONGEST_TITLE), ("text", text, default_text, LONGEST_TEXT)]
        {
            let compiled = if source.is_empty() {
                add(&mut environment, field, default)
            } else {
                check(source, longest).and_then(|()| add(&mut environment, field, source))
            };
            faults.extend(compiled.err().map(|fault| (field, fault)));
        }
        let template = Self { environment };
        if faults.is_empty() {
            faults.extend(["title", "text"].into_iter().filter_map(|field| template.try_out(field)));
        }
        if faults.is_empty() { Ok(template) } else { Err(faults) }
    }

    /// Names of functions and tests are looked up when they are used.
    fn try_out(&self, field: &'static str) -> Option<(&'static str, Fault)> {
        let template = template_name(field, Escape::Plain);
        unknown(&self.environment, &template).map(|fault| (field, fault))
    }

    pub(super) fn render(
        &self,
        view: &View<'_>,
        rule: &str,
        severity: Severity,
        escape: Escape,
    ) -> Result<Rendered, RenderFailed> {
        let event = view.written().map_err(|error| RenderFailed(error.to_string()))?;
        let said = context! { event, rule, severity => severity::name(severity) };
        let title = self.one("title", &said, escape, LONGEST_TITLE)?;
        let text = self.one("text", &said, escape, LONGEST_TEXT)?;
        Ok(Rendered { title, text })
    }

    fn one(&self, field: &str, said: &Value, escape: Escape, most: usize) -> Result<String, RenderFailed> {
        let failed = |error: &Error| RenderFailed(format!("{field}: {}", brief(told(error))));
        let name = template_name(field, escape);
        let template = self.environment.get_template(&name).map_err(|error| failed(&error))?;
        let mut written = Cut::new(8 * most);
        let rendered = template.render_captured_to(said, &mut written).map(drop);
        match rendered {
            Err(error) if !written.full => return Err(failed(&error)),
            _ => {}
        }
        let text = String::from_utf8_lossy(&written.text);
        let text: String = if field == "title" {
            text.split(|character: char| character.is_control())
                .collect::<Vec<_>>()
                .join(" ")
                .trim()
                .to_owned()
        } else {
            let good = |character: &char| !character.is_control() || "\n\t".contains(*character);
            text.trim_end().chars().filter(good).collect()
        };
        Ok(cut(text, most, escape))
    }
}

/// What a template uses that is unknown.
pub(super) fn unknown(environment: &Environment<'_>, name: &str) -> Option<Fault> {
    use minijinja::ErrorKind::{UnknownFunction, UnknownMethod, UnknownTest};
    let mut nowhere = Cut::new(LONGEST_TITLE);
    let template = environment.get_template(name).ok()?;
    let error = template.render_captured_to(context! {}, &mut nowhere).err()?;
    let is_unknown = matches!(error.kind(), UnknownFunction | UnknownMethod | UnknownTest);
    is_unknown.then(|| Fault::grammar(told(&error)))
}

/// Takes so many bytes, and then no more.
pub(super) struct Cut {
    pub(super) text: Vec<u8>,
    most: usize,
    pub(super) full: bool,
}

impl Cut {
    pub(super) const fn new(most: usize) -> Self {
        Self { text: Vec::new(), most, full: false }
    }
}

impl Write for Cut {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.most - self.text.len());
        self.text.extend_from_slice(&bytes[..taken]);
        if taken < bytes.len() {
            self.full = true;
            return Err(io::Error::other("there is no room for more"));
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// No more characters than that, and no half of an escaped one.
fn cut(mut text: String, most: usize, escape: Escape) -> String {
    let Some((end, _)) = text.char_indices().nth(most) else {
        return text;
    };
    text.truncate(end);
    if escape == Escape::Slack
        && let Some(start) = text.rfind('&')
        && !text[start..].contains(';')
    {
        text.truncate(start);
    }
    text
}

pub(super) fn environment() -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_fuel(Some(FUEL));
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_auto_escape_callback(|name| match name.rsplit('.').next() {
        Some("slack") => AutoEscape::Custom("slack"),
        Some("json") => AutoEscape::Custom("json"),
        Some("url") => AutoEscape::Custom("url"),
        _ => AutoEscape::None,
    });
    environment.set_formatter(format);
    environment.add_filter("abs", minijinja::filters::abs);
    environment.add_filter("capitalize", minijinja::filters::capitalize);
    environment.add_filter("default", minijinja::filters::default);
    environment.add_filter("first", minijinja::filters::first);
    environment.add_filter("int", minijinja::filters::int);
    environment.add_filter("last", minijinja::filters::last);
    environment.add_filter("length", minijinja::filters::length);
    environment.add_filter("lower", minijinja::filters::lower);
    environment.add_filter("percent", percent);
    environment.add_filter("round", minijinja::filters::round);
    environment.add_filter("short", short);
    environment.add_filter("title", minijinja::filters::title);
    environment.add_filter("trim", minijinja::filters::trim);
    environment.add_filter("upper", minijinja::filters::upper);
    environment.add_test("defined", minijinja::tests::is_defined);
    environment.add_test("none", minijinja::tests::is_none);
    environment.add_test("undefined", minijinja::tests::is_undefined);
    environment
}

/// A number in at most six digits, as people write it; anything else as it is.
fn short(value: &Value) -> Value {
    let Ok(number) = f64::try_from(value.clone()) else {
        return value.clone();
    };
    if value.is_integer() {
        return value.clone();
    }
    let rounded: f64 = format!("{number:.5e}").parse().unwrap_or(number);
    Value::from(rounded.to_string())
}

/// A share of 1, in percent.
fn percent(value: &Value) -> Value {
    f64::try_from(value.clone())
        .map_or_else(|_| value.clone(), |share| Value::from(format!("{:.0} %", share * 100.0)))
}

/// Writes a value: nothing for what is not there, escaped where the channel wants it.
fn format(out: &mut Output<'_>, state: &State<'_, '_>, value: &Value) -> Result<(), Error> {
    if value.is_undefined() || value.is_none() {
        return Ok(());
    }
    let escaped = match state.auto_escape() {
        AutoEscape::Custom("slack") => {
            value.to_string().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
        }
        AutoEscape::Custom("json") => as_json(value)?,
        AutoEscape::Custom("url") => percent_encode(&value.to_string()),
        _ => value.to_string(),
    };
    out.write_str(&escaped).map_err(Error::from)
}

fn as_json(value: &Value) -> Result<String, Error> {
    let written = serde_json::to_string(value);
    let written =
        written.map_err(|error| Error::new(minijinja::ErrorKind::BadSerialization, error.to_string()))?;
    let is_text = value.as_str().is_some() && written.len() >= 2;
    Ok(if is_text { written[1..written.len() - 1].to_owned() } else { written })
}

fn percent_encode(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect::<Vec<_>>().concat()
}

pub(super) fn check(source: &str, longest: usize) -> Result<(), Fault> {
    let characters = source.chars().count();
    if characters > longest {
        let description = format!("has {characters} characters; the limit is {longest}");
        return Err(Fault::new(Reason::TooLong, description));
    }
    tags::check(source)
}

fn add(environment: &mut Environment<'static>, field: &str, source: &str) -> Result<(), Fault> {
    [Escape::Plain, Escape::Slack]
        .into_iter()
        .try_for_each(|escape| add_for(environment, field, source, escape))
}

pub(super) fn add_for(
    environment: &mut Environment<'static>,
    field: &str,
    source: &str,
    escape: Escape,
) -> Result<(), Fault> {
    let added = environment.add_template_owned(template_name(field, escape), source.to_owned());
    added.map_err(|error| match error.kind() {
        minijinja::ErrorKind::OutOfFuel => too_many(told(&error)),
        _ => Fault::grammar(told(&error)),
    })
}

pub(super) fn template_name(field: &str, escape: Escape) -> String {
    let escape = match escape {
        Escape::Plain => "plain",
        Escape::Slack => "slack",
        Escape::Json => "json",
        Escape::Url => "url",
    };
    format!("{field}.{escape}")
}

pub(super) fn told(error: &Error) -> String {
    let what = error
        .detail()
        .map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind()));
    error.line().map_or_else(|| what.clone(), |line| format!("{what} at line {line}"))
}
