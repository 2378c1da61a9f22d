//! What the comments of the contract say, as the descriptions of the document.

use prost_reflect::{EnumDescriptor, FileDescriptor};
use serde_json::{Map, Value, json};

/// The comment at `path` of `file`, as Markdown: lines joined to paragraphs, directives to linters left out.
pub(super) fn comment(file: &FileDescriptor, path: &[i32]) -> Option<String> {
    let info = file.file_descriptor_proto().source_code_info.as_ref()?;
    let location = info.location.iter().find(|location| location.path == path)?;
    let text = paragraphs(location.leading_comments.as_deref().or(location.trailing_comments.as_deref())?);
    (!text.is_empty()).then_some(text)
}

/// Gives `object` a description, where there is a comment.
pub(super) fn describe(object: &mut Map<String, Value>, file: &FileDescriptor, path: &[i32]) {
    if let Some(text) = comment(file, path) {
        object.insert("description".into(), json!(text));
    }
}

/// What an enum is for, and what each of its values means.
pub(super) fn of_enum(descriptor: &EnumDescriptor) -> String {
    let file = descriptor.parent_file();
    let values = descriptor.values().filter_map(|value| {
        Some(format!("- `{}`: {}", value.name(), comment(&file, value.path())?.replace("\n\n", " ")))
    });
    let values: Vec<_> = values.collect();
    let meaning = comment(&file, descriptor.path());
    meaning.into_iter().chain([values.join("\n")]).collect::<Vec<_>>().join("\n\n")
}

/// The first sentence of a comment, without its full stop.
pub(super) fn summary(text: &str) -> &str {
    let paragraph = text.split("\n\n").next().unwrap_or(text);
    let sentence = paragraph.split_once(". ").map_or(paragraph, |(first, _)| first);
    sentence.trim_end_matches('.')
}

fn paragraphs(raw: &str) -> String {
    let mut text = String::new();
    for line in raw.lines().map(str::trim).filter(|line| !line.starts_with("buf:lint:")) {
        match line {
            "" => text.push_str("\n\n"),
            _ if text.is_empty() || text.ends_with('\n') => text.push_str(line),
            _ => {
                text.push(' ');
                text.push_str(line);
            }
        }
    }
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_paragraphs() {
        let raw =
            " The component works.\n The names are bare.\n\n More.\n buf:lint:ignore ENUM_VALUE_PREFIX\n";
        assert_eq!(paragraphs(raw), "The component works. The names are bare.\n\nMore.");
    }

    #[test]
    fn the_first_sentence_is_the_summary() {
        assert_eq!(summary("Stores one event.\n\nErrors: none."), "Stores one event");
        assert_eq!(summary("Waits. Then goes on."), "Waits");
        assert_eq!(summary("As `cornjacket.events.v1.Event` is"), "As `cornjacket.events.v1.Event` is");
    }
}
