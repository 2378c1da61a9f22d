//! What only HTTP has: attributes as headers, their values percent-encoded (HTTP binding, 3.1.3).

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode, utf8_percent_encode};

use crate::violation::{Reason, Violation};

const PREFIX: &str = "ce-";
/// Beside these, everything that is not ASCII.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// The attribute that a header carries, if it carries one. Names of headers have no case, names of attributes are
/// lower case.
pub fn attribute(header: &str) -> Option<String> {
    let name = header.to_ascii_lowercase();
    name.strip_prefix(PREFIX).filter(|name| !name.is_empty()).map(ToOwned::to_owned)
}

/// The header that carries an attribute.
pub fn header(attribute: &str) -> String {
    format!("{PREFIX}{attribute}")
}

/// The value of a header that carries `value`: printable ASCII.
pub fn encode(value: &str) -> String {
    utf8_percent_encode(value, ENCODED).to_string()
}

/// The value that a header of `attribute` carries. Quoted strings, which older senders write, are unquoted first; a `%`
/// that no two hexadecimal digits follow stands for itself.
pub fn decode(attribute: &str, value: &[u8]) -> Result<String, Violation> {
    let value = unquoted(value.trim_ascii());
    let text = percent_decode(&value).decode_utf8();
    let not_utf8 = |_| Violation::new(attribute, Reason::Grammar, "is not UTF-8 once percent-decoded");
    text.map(Cow::into_owned).map_err(not_utf8)
}

/// RFC 7230, 3.2.6.
fn unquoted(value: &[u8]) -> Vec<u8> {
    let Some(inner) = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")) else {
        return value.to_owned();
    };
    let mut plain = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter().copied();
    while let Some(byte) = bytes.next() {
        plain.push(if byte == b'\\' { bytes.next().unwrap_or(byte) } else { byte });
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn headers_are_attributes_with_a_prefix() {
        assert_eq!(attribute("CE-Time").as_deref(), Some("time"));
        assert_eq!((attribute("content-type"), attribute("ce-")), (None, None));
        assert_eq!(header("specversion"), "ce-specversion");
    }

    #[test]
    fn the_example_of_the_specification_is_encoded_as_it_says() {
        assert_eq!(encode("Euro € 😀"), "Euro%20%E2%82%AC%20%F0%9F%98%80");
        assert_eq!(encode("a\"%~\u{7f}"), "a%22%25~%7F");
    }

    #[test]
    fn what_senders_write_is_decoded_once() {
        for (header, value) in [
            ("Euro%20%e2%82%ac", "Euro €"),
            ("%41%2541", "A%41"),
            (r#""a \"b\" \\c""#, r#"a "b" \c"#),
            ("\"%20\"", " "),
            ("100% %4", "100% %4"),
            ("\"", "\""),
        ] {
            assert_eq!(decode("x", header.as_bytes()).as_deref(), Ok(value), "{header}");
        }
        let refused = decode("subject", b"%C0%A0").expect_err("an overlong space");
        assert_eq!((refused.field.as_str(), refused.reason), ("subject", Reason::Grammar));
    }

    proptest! {
        #[test]
        fn every_value_comes_back(value in any::<String>()) {
            let header = encode(&value);
            prop_assert!(header.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(decode("x", header.as_bytes()), Ok(value));
        }

        #[test]
        fn no_header_panics(value in any::<Vec<u8>>()) {
            let _ = decode("x", &value);
        }
    }
}
