//! Times on a command line.

use cornjacket_domain::{Clock, SystemClock};
use prost_types::Timestamp;

/// A time (RFC 3339), or how long ago, such as `7d`.
pub fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        return Ok((SystemClock.now() - ago).to_proto());
    }
    text.parse()
        .map_err(|_| "must be a time such as 2026-11-26T08:00:00Z, or how long ago, such as 7d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_so_long_ago() {
        assert_eq!(moment("1970-01-01T00:01:00Z"), Ok(Timestamp { seconds: 60, nanos: 0 }));
        let day_ago = moment("1d").expect("a duration").seconds;
        let now = SystemClock.now().to_proto().seconds;
        assert!((86_399..86_500).contains(&(now - day_ago)));
        assert!(moment("yesterday").is_err());
    }
}
