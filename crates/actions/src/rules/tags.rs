//! What templates may do. Fuel counts the steps of a template and not what a step makes, so that a template could make texts of any
//! size in a few steps: `{% set a = a ~ a %}` doubles one. Here nothing can: templates choose (`if`) and go over what is there (`for`),
//! texts are joined a few times at the most, and nothing is multiplied.

use cornjacket_domain::violation::Reason;

use super::checker::{Fault, nearest};

/// How often `~` and `+` may stand in a template.
const MOST_JOINS: usize = 16;
/// What may stand behind `{%`, but for `for`.
const BLOCKS: [&str; 5] = ["if", "elif", "else", "endif", "endfor"];

/// What may stand behind `|`.
pub(super) const FILTERS: [&str; 14] = [
    "abs",
    "capitalize",
    "default",
    "first",
    "int",
    "last",
    "length",
    "lower",
    "percent",
    "round",
    "short",
    "title",
    "trim",
    "upper",
];

/// Refuses a template that could make more of an event than fuel can stop.
pub(super) fn check(source: &str) -> Result<(), Fault> {
    let mut joins = 0;
    let mut rest = source;
    while let Some(start) = rest.find('{') {
        let (open, end) = match rest.as_bytes().get(start + 1) {
            Some(b'{') => ("{{", "}}"),
            Some(b'%') => ("{%", "%}"),
            Some(b'#') => ("{#", "#}"),
            _ => {
                rest = &rest[start + 1..];
                continue;
            }
        };
        let line = 1 + source[..source.len() - rest.len() + start].matches('\n').count();
        let inside = &rest[start + 2..];
        let length = if open == "{#" { inside.find(end) } else { length(inside, end, &mut joins, line)? };
        let Some(length) = length else {
            return Err(Fault::grammar(format!("has `{open}` without `{end}` at line {line}")));
        };
        if open == "{%" {
            block(&inside[..length], line)?;
        }
        if joins > MOST_JOINS {
            let description = format!("joins texts or adds more than {MOST_JOINS} times");
            return Err(Fault::new(Reason::TooMany, description));
        }
        rest = &inside[length + 2..];
    }
    Ok(())
}

/// How far it is to `end`, outside of quotes.
fn length(inside: &str, end: &str, joins: &mut usize, line: usize) -> Result<Option<usize>, Fault> {
    let mut quote = None;
    let mut escaped = false;
    for (at, character) in inside.char_indices() {
        if let Some(open) = quote {
            if escaped || character == '\\' {
                escaped = !escaped;
            } else if character == open {
                quote = None;
            }
            continue;
        }
        if inside[at..].starts_with(end) {
            return Ok(Some(at));
        }
        match character {
            '\'' | '"' => quote = Some(character),
            '~' => *joins += 1,
            // `{%+` keeps the space before it, as `+%}` does behind.
            '+' if at > 0 => *joins += 1,
            '|' => filter(&inside[at + 1..], line)?,
            '*' => return Err(Fault::grammar(format!("multiplies at line {line}, which templates cannot"))),
            '{' => return Err(Fault::grammar(format!("has `{{` within a tag at line {line}"))),
            _ => {}
        }
    }
    Ok(None)
}

/// An unknown one would only be told when something is to be said.
fn filter(behind: &str, line: usize) -> Result<(), Fault> {
    let behind = behind.trim_start();
    let end = behind
        .find(|character: char| !character.is_alphanumeric() && character != '_')
        .unwrap_or(behind.len());
    let name = &behind[..end];
    if FILTERS.contains(&name) {
        return Ok(());
    }
    let near = nearest(name, FILTERS.iter().map(ToString::to_string));
    Err(Fault::grammar(format!("has a filter `{name}` at line {line}, which is unknown{near}")))
}

fn block(inside: &str, line: usize) -> Result<(), Fault> {
    let inside = inside.trim_start_matches(['-', '+']).trim_end_matches(['-', '+']).trim();
    let word = inside.split(|character: char| !character.is_alphanumeric() && character != '_').next();
    match word.unwrap_or_default() {
        "for" => {
            let over = inside.split_once(" in ").map(|(_, over)| over.trim());
            if over.is_some_and(is_path) {
                return Ok(());
            }
            Err(Fault::grammar(format!(
                "has a `for` at line {line} that is not of the form `for x in event.path.to.a.list`"
            )))
        }
        word if BLOCKS.contains(&word) => Ok(()),
        word => Err(Fault::grammar(format!("has `{word}` at line {line}; there is only `if` and `for`"))),
    }
}

fn is_path(text: &str) -> bool {
    text.chars().all(|character| character.is_ascii_alphanumeric() || "._[]".contains(character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_grow_is_refused() {
        for good in [
            "plain { text } 100 * 2 ~ {",
            "{{ event.subject }} is *bold*",
            "{%- if a + 1 > 2 -%}x{%- elif b -%}y{% else %}z{%+ endif +%}",
            "{% for m in event.sensor_reading.measurements %}{{ m.metric }}{% endfor %}",
            "{{ \"}} * {{ \\\" ~\" }}{# set * #}",
            "{{ a['*'] }}",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, told) in [
            ("{% set a = b %}", "has `set` at line 1; there is only `if` and `for`"),
            ("\n{%-with a = b %}", "has `with` at line 2; there is only `if` and `for`"),
            ("{% filter upper %}", "has `filter` at line 1; there is only `if` and `for`"),
            ("{{ 'a' * 100 }}", "multiplies at line 1, which templates cannot"),
            ("{{ {'a': 1} }}", "has `{` within a tag at line 1"),
            (
                "{% for a in [b ~ b] %}",
                "has a `for` at line 1 that is not of the form `for x in event.path.to.a.list`",
            ),
            (
                "{% for a in b recursive %}",
                "has a `for` at line 1 that is not of the form `for x in event.path.to.a.list`",
            ),
            ("{{ a | uper }}", "has a filter `uper` at line 1, which is unknown: did you mean `upper`?"),
            ("{{ a", "has `{{` without `}}` at line 1"),
        ] {
            assert_eq!(check(bad).map_err(|fault| fault.description), Err(told.to_owned()), "{bad}");
        }
        let joined = format!("{{{{ a{} }}}}", " ~ a".repeat(17));
        assert_eq!(check(&joined).map_err(|fault| fault.reason), Err(Reason::TooMany));
    }
}
