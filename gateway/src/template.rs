//! Path templates of `google.api.http`: `/v1/{name=shelves/*}/books/**:verb`.
//!
//! The grammar is that of `google/api/http.proto`. A path is matched as it was sent: `%2F` never splits a segment.

mod parse;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use percent_encoding::{percent_decode_str, percent_encode_byte};

/// A parsed path template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    segments: Vec<Segment>,
    verb: Option<String>,
    variables: Vec<Variable>,
}

/// What one segment of a path must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// This text, percent-encoding apart.
    Literal(String),
    /// `*`: any one segment that is not empty.
    One,
    /// `**`: whatever is left, also nothing. Always the last.
    Rest,
}

/// A field of the request that is part of the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// The field's path, by proto names: `["event", "id"]`.
    pub field: Vec<String>,
    segments: Range<usize>,
    /// Spans segments, so that `%2F` is kept: it is no slash between segments.
    multi: bool,
}

/// What a variable was given by a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capture<'t, 'p> {
    /// Which variable.
    pub variable: &'t Variable,
    /// The text as it was sent.
    pub raw: &'p str,
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("path template `{template}`: {problem} at byte {at}")]
pub struct TemplateError {
    template: String,
    problem: &'static str,
    at: usize,
}

impl Template {
    /// Parses a template.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        parse::template(text)
    }

    /// The segments, outermost first.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The verb after the last `:`.
    pub fn verb(&self) -> Option<&str> {
        self.verb.as_deref()
    }

    /// The variables, in the order of the template.
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// What the variables are in `path` (without query), or nothing when it is another path.
    pub fn matches<'t, 'p>(&'t self, path: &'p str) -> Option<Vec<Capture<'t, 'p>>> {
        let (path, verb) = if self.verb.is_some() { split_verb(path)? } else { (path, "") };
        if self.verb.as_deref().is_some_and(|expected| expected != verb) {
            return None;
        }
        let spans = spans(path)?;
        let mut given = spans.iter();
        for segment in &self.segments {
            let fits = match segment {
                Segment::Rest => return Some(self.captures(path, &spans)),
                Segment::One => given.next().is_some_and(|span| !span.is_empty()),
                Segment::Literal(literal) => {
                    given.next().is_some_and(|span| decoded(&path[span.clone()]) == *literal)
                }
            };
            if !fits {
                return None;
            }
        }
        given.next().is_none().then(|| self.captures(path, &spans))
    }

    /// What the variables are in a path that is known to match; `path` is without verb, `spans` are its segments.
    pub(crate) fn captures<'t, 'p>(&'t self, path: &'p str, spans: &[Range<usize>]) -> Vec<Capture<'t, 'p>> {
        let end = |variable: &Variable| {
            let to_the_end = variable.segments.end == self.segments.len()
                && matches!(self.segments.last(), Some(Segment::Rest));
            if to_the_end { spans.len() } else { variable.segments.end }
        };
        let raw = |variable: &Variable| {
            let covered = spans.get(variable.segments.start..end(variable)).unwrap_or_default();
            match (covered.first(), covered.last()) {
                (Some(first), Some(last)) => &path[first.start..last.end],
                _ => "",
            }
        };
        self.variables.iter().map(|variable| Capture { variable, raw: raw(variable) }).collect()
    }
}

impl<'p> Capture<'_, 'p> {
    /// The value: percent-encoding is undone, but for `%2F` where the variable spans segments. Nothing when the bytes
    /// are no UTF-8.
    pub fn value(&self) -> Option<Cow<'p, str>> {
        if !self.variable.multi || !has_encoded_slash(self.raw) {
            return percent_decode_str(self.raw).decode_utf8().ok();
        }
        // The encoded slash is encoded once more, so that decoding leaves it as it was sent.
        let kept = self.raw.replace("%2F", "%252F").replace("%2f", "%252f");
        percent_decode_str(&kept).decode_utf8().ok().map(|value| Cow::Owned(value.into_owned()))
    }
}

impl fmt::Display for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Literal(literal) => write!(formatter, "/{literal}")?,
                Segment::One => formatter.write_str("/*")?,
                Segment::Rest => formatter.write_str("/**")?,
            }
        }
        self.verb.as_ref().map_or(Ok(()), |verb| write!(formatter, ":{verb}"))
    }
}

fn has_encoded_slash(text: &str) -> bool {
    let slash = percent_encode_byte(b'/');
    text.as_bytes().windows(slash.len()).any(|window| window.eq_ignore_ascii_case(slash.as_bytes()))
}

/// The path before the last `:` of its last segment, and the verb after it.
pub(crate) fn split_verb(path: &str) -> Option<(&str, &str)> {
    path.rsplit_once(':').filter(|(_, verb)| !verb.is_empty() && !verb.contains('/'))
}

/// Where the segments of a path are. Nothing when it does not begin with a slash.
pub(crate) fn spans(path: &str) -> Option<Vec<Range<usize>>> {
    let mut start = 1;
    path.starts_with('/').then(|| {
        path[1..]
            .split('/')
            .map(|segment| {
                let span = start..start + segment.len();
                start = span.end + 1;
                span
            })
            .collect()
    })
}

/// A segment without percent-encoding. One that is no UTF-8 is left as it is: no literal is like it.
pub(crate) fn decoded(segment: &str) -> Cow<'_, str> {
    percent_decode_str(segment).decode_utf8().unwrap_or(Cow::Borrowed(segment))
}
