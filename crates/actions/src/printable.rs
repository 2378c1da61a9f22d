//! Texts of strangers where no text may have control characters: not every store, and not every channel, takes them.

/// The same with a space for each control character.
pub fn printable(text: impl Into<String>) -> String {
    let text = text.into();
    if text.contains(char::is_control) { text.replace(char::is_control, " ") } else { text }
}
