//! Further fields of requests, as endpoints have them.

use std::collections::BTreeMap;

use cornjacket_domain::violation::{Reason, Violation};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Fields of one endpoint, and bytes of a value.
const MOST_FIELDS: usize = 16;
const MOST_BYTES: usize = 1_024;
const MOST_SECRET_BYTES: usize = 8_192;

/// What the connection is about, and what we say ourselves.
const OURS: [&str; 18] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];
const OUR_PREFIX: &str = "webhook-";
/// What holds secrets, which are kept sealed and not among fields that everybody sees who sees the endpoint.
const SECRET: [&str; 5] =
    ["authorization", "cookie", "proxy-authenticate", "proxy-authorization", "x-api-key"];

/// Reads them. `field` is where they are.
pub fn read(headers: &BTreeMap<String, String>, field: &str) -> Result<HeaderMap, Vec<Violation>> {
    let (mut read, mut violations) = (HeaderMap::new(), Vec::new());
    if headers.len() > MOST_FIELDS {
        let said = format!("has {} fields; the limit is {MOST_FIELDS}", headers.len());
        violations.push(Violation::new(field, Reason::TooMany, said));
    }
    for (name, value) in headers {
        match header(name, value) {
            Ok((known, _)) if read.contains_key(&known) => {
                violations.push(at(field, name, Reason::Repeated, "is there twice: case does not matter"));
            }
            Ok((name, value)) => drop(read.insert(name, value)),
            Err((reason, said)) => violations.push(at(field, name, reason, said)),
        }
    }
    if violations.is_empty() { Ok(read) } else { Err(violations) }
}

/// Reads those that are secrets, which no violation repeats.
pub fn read_secret(headers: &BTreeMap<String, String>, field: &str) -> Result<HeaderMap, Vec<Violation>> {
    let (mut read, mut violations) = (HeaderMap::new(), Vec::new());
    if headers.len() > MOST_FIELDS {
        let said = format!("has {} fields; the limit is {MOST_FIELDS}", headers.len());
        violations.push(Violation::new(field, Reason::TooMany, said));
    }
    for (name, value) in headers {
        match known(name).and_then(|name| Ok((name, written(value, MOST_SECRET_BYTES)?))) {
            Ok((known, _)) if read.contains_key(&known) => {
                violations.push(at(field, name, Reason::Repeated, "is there twice: case does not matter"));
            }
            Ok((name, mut value)) => {
                value.set_sensitive(true);
                read.insert(name, value);
            }
            Err((reason, said)) => violations.push(at(field, name, reason, said)),
        }
    }
    if violations.is_empty() { Ok(read) } else { Err(violations) }
}

fn at(field: &str, name: &str, reason: Reason, said: &str) -> Violation {
    Violation::new(format!("{field}[{name:?}]"), reason, said)
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), (Reason, &'static str)> {
    let name = known(name)?;
    if SECRET.contains(&name.as_str()) {
        return Err((Reason::Reserved, "is for secrets, which do not belong here"));
    }
    Ok((name, written(value, MOST_BYTES)?))
}

fn known(name: &str) -> Result<HeaderName, (Reason, &'static str)> {
    let name: HeaderName =
        name.parse().map_err(|_| (Reason::Grammar, "is no name of a field: such as x-team"))?;
    if OURS.contains(&name.as_str()) || name.as_str().starts_with(OUR_PREFIX) {
        return Err((Reason::Reserved, "is a field that Cornjacket sets"));
    }
    Ok(name)
}

fn written(value: &str, most: usize) -> Result<HeaderValue, (Reason, &'static str)> {
    if value.len() > most {
        return Err((Reason::TooLong, "has more bytes than the limit, which is 1,024, or 8,192 of a secret"));
    }
    let is_visible = value.bytes().all(is_visible);
    match HeaderValue::from_str(value) {
        Ok(value) if is_visible => Ok(value),
        _ => Err((Reason::Grammar, "has characters other than visible ASCII and spaces")),
    }
}

const fn is_visible(byte: u8) -> bool {
    byte == b' ' || byte.is_ascii_graphic()
}

/// A value of what somebody said: what cannot stand in one is `?`, and what is too long is cut.
pub fn tamed(said: &str) -> HeaderValue {
    let tame = |character: char| match u8::try_from(character) {
        Ok(byte) if is_visible(byte) => character,
        _ => '?',
    };
    let said: String = said.trim().chars().take(MOST_BYTES).map(tame).collect();
    HeaderValue::try_from(said).expect("visible ASCII and spaces")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violations(headers: &[(&str, &str)]) -> Vec<(String, Reason)> {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let violations = read(&headers.collect(), "webhook.headers").err().unwrap_or_default();
        violations.into_iter().map(|violation| (violation.field, violation.reason)).collect()
    }

    #[test]
    fn what_people_want_to_say_is_said() {
        assert_eq!(violations(&[("x-team", "pumps (north)"), ("Accept", ""), ("priority", "u=1")]), []);
    }

    #[test]
    fn what_is_ours_secret_or_no_field_is_refused_by_name() {
        for (name, value, reason) in [
            ("Host", "a", Reason::Reserved),
            ("content-length", "0", Reason::Reserved),
            ("Transfer-Encoding", "chunked", Reason::Reserved),
            ("webhook-id", "a", Reason::Reserved),
            ("Webhook-Anything", "a", Reason::Reserved),
            ("connection", "x-team", Reason::Reserved),
            ("Authorization", "Bearer a", Reason::Reserved),
            ("cookie", "a=b", Reason::Reserved),
            ("", "a", Reason::Grammar),
            ("x team", "a", Reason::Grammar),
            ("x-team:", "a", Reason::Grammar),
            ("x-team\r\nhost", "a", Reason::Grammar),
            ("x-team", "a\r\nhost: b", Reason::Grammar),
            ("x-team", "a\0", Reason::Grammar),
            ("x-team", "é", Reason::Grammar),
            ("x-team", &"a".repeat(1_025), Reason::TooLong),
        ] {
            let field = format!("webhook.headers[{name:?}]");
            assert_eq!(
                violations(&[("x-good", "a"), (name, value)]),
                [(field, reason)],
                "{name:?}: {value:?}"
            );
        }
    }

    #[test]
    fn they_are_few_and_each_is_there_once() {
        let names: Vec<_> = (0..17).map(|number| format!("x-{number}")).collect();
        let headers: Vec<_> = names.iter().map(|name| (name.as_str(), "a")).collect();
        assert_eq!(violations(&headers[..16]), []);
        assert_eq!(violations(&headers), [("webhook.headers".to_owned(), Reason::TooMany)]);
        let twice = violations(&[("x-team", "a"), ("X-Team", "b")]);
        assert!(matches!(twice.as_slice(), [(_, Reason::Repeated)]), "{twice:?}");
    }
}
