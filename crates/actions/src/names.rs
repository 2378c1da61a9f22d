//! What rules and endpoints may be called.

use cornjacket_domain::Violation;
use cornjacket_domain::violation::Reason;

/// Characters of a name.
const LENGTH: usize = 63;

/// What is wrong with a name, if anything is.
pub fn check(field: &str, name: &str) -> Option<Violation> {
    if name.is_empty() {
        return Some(Violation::new(field, Reason::Required, "is missing"));
    }
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_name = name.len() <= LENGTH
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(good);
    let description = || format!("is not 1 to {LENGTH} of a-z, 0-9 and -, beginning with a letter");
    (!is_name).then(|| Violation::new(field, Reason::Grammar, description()))
}
