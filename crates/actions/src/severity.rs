//! How much something matters, in a word.

use cornjacket_proto::actions::Severity;

/// As people, templates, silences and receivers read it. What says nothing matters as a warning does.
pub const fn name(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Unspecified | Severity::Warning => "warning",
        Severity::Error => "error",
        Severity::Critical => "critical",
    }
}
