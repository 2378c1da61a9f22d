//! What a letter keeps of a message beside topic and payload, in the one text that it has for that.
//!
//! The content type, and behind it the user properties as a parameter of ours:
//! `application/json; mqtt-properties=id=7&line=2`, each name and value percent-encoded.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::Message;

const PROPERTIES: &str = "; mqtt-properties=";
/// What is readable stays so.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'/');
/// Of a content type, only what would not be text or end it.
const IN_TYPE: &AsciiSet = &percent_encoding::CONTROLS.add(b'%');

pub(super) fn write(message: &Message) -> String {
    let content_type = message.content_type.as_deref().unwrap_or_default();
    let mut format = utf8_percent_encode(content_type, IN_TYPE).to_string().replace(PROPERTIES, "");
    let encoded = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
    for (at, (name, value)) in message.user_properties.iter().enumerate() {
        let between = if at == 0 { PROPERTIES } else { "&" };
        let (name, value) = (encoded(name), encoded(value));
        format.extend([between, &name, "=", &value]);
    }
    format
}

/// Content type and user properties.
pub(super) fn read(format: &str) -> (Option<String>, Vec<(String, String)>) {
    let (content_type, properties) = format.split_once(PROPERTIES).unwrap_or((format, ""));
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let properties = properties.split('&').filter_map(|property| property.split_once('='));
    let properties = properties.map(|(name, value)| (decoded(name), decoded(value))).collect();
    (Some(decoded(content_type)).filter(|text| !text.is_empty()), properties)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_is_readable() {
        let properties = [("id", "7"), ("line", "a b")];
        let user_properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let content_type = Some("application/json; charset=utf-8".to_owned());
        let message = Message { content_type, user_properties, ..Message::default() };
        assert_eq!(write(&message), "application/json; charset=utf-8; mqtt-properties=id=7&line=a%20b");
        assert_eq!(write(&Message::default()), "");
    }

    proptest! {
        #[test]
        fn what_is_kept_comes_back(
            content_type in proptest::option::of("[^;]{1,20}"),
            user_properties in proptest::collection::vec((any::<String>(), any::<String>()), 0..4),
        ) {
            let message = Message { content_type, user_properties, ..Message::default() };
            let kept = write(&message);
            prop_assert!(!kept.contains('\0'));
            prop_assert_eq!(read(&kept), (message.content_type, message.user_properties));
        }
    }
}
