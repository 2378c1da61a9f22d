//! What models and rules may be called: what can stand in a path, a flag and a table as it is.

/// The longest name.
const LONGEST: usize = 63;

/// Whether something may be called so; else what is wrong with it. Names that were given before are not asked about.
pub fn check(name: &str) -> Result<(), String> {
    let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    if (1..=LONGEST).contains(&name.len()) && name.chars().all(is_allowed) {
        return Ok(());
    }
    Err(format!("must be 1 to {LONGEST} of a-z, A-Z, 0-9, `-`, `_` and `.`, is {name:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_need_no_quotes_anywhere() {
        for good in ["hot", "Hot-1_a.b", "7", &"x".repeat(63)] {
            assert_eq!(check(good), Ok(()));
        }
        for bad in ["", "too hot", "a/b", "h\u{f6}t", "a\n", "*", &"x".repeat(64)] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }
}
