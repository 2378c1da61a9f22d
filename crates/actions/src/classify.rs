//! What an answer means. Pure.

use std::time::{Duration, UNIX_EPOCH};

use cornjacket_domain::Timestamp;
use http::StatusCode;

/// An endpoint is left alone for so long at the most, whatever it asks for.
const LONGEST_HOLD: Duration = Duration::from_hours(1);

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It arrived.
    Delivered,
    /// It did not, and may the next time.
    Failed,
    /// It did not, and the endpoint asks to be left alone for so long: more than nothing, and an hour at the most.
    Held(Duration),
    /// It did not, and never will.
    Refused {
        /// Nothing else will either: the endpoint is gone.
        disable: bool,
    },
}

/// What the status of an answer means, with its `retry-after`.
pub fn classify(
    status: StatusCode,
    retry_after: Option<&str>,
    now: Timestamp,
    client_errors_are_final: bool,
) -> Outcome {
    match status {
        _ if status.is_success() => Outcome::Delivered,
        StatusCode::GONE => Outcome::Refused { disable: true },
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            retry_after.and_then(|asked| hold(asked, now)).map_or(Outcome::Failed, Outcome::Held)
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => Outcome::Failed,
        _ if status.is_client_error() && client_errors_are_final => Outcome::Refused { disable: false },
        _ => Outcome::Failed,
    }
}

/// How long `retry-after` asks for (RFC 9110, 10.2.3): seconds or a date. Nothing, when it is neither, or over already: that
/// would be an attempt at once that is no step of the schedule, and so for ever.
fn hold(asked: &str, now: Timestamp) -> Option<Duration> {
    let asked = asked.trim();
    let is_number = !asked.is_empty() && asked.bytes().all(|byte| byte.is_ascii_digit());
    let hold = if is_number {
        // What does not fit is as good as for ever.
        asked.parse().map_or(LONGEST_HOLD, Duration::from_secs)
    } else {
        until(asked, now)?
    };
    (!hold.is_zero()).then(|| hold.min(LONGEST_HOLD))
}

fn until(date: &str, now: Timestamp) -> Option<Duration> {
    let since_epoch = httpdate::parse_http_date(date).ok()?.duration_since(UNIX_EPOCH).ok()?;
    let micros = i64::try_from(since_epoch.as_micros()).ok()?.checked_sub(now.as_micros())?;
    u64::try_from(micros).ok().map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1994-11-06T08:49:37Z.
    const NOW: Timestamp = Timestamp::from_micros(784_111_777_000_000);
    const REFUSED: Outcome = Outcome::Refused { disable: false };

    fn of(status: u16, retry_after: Option<&str>, client_errors_are_final: bool) -> Outcome {
        let status = StatusCode::from_u16(status).expect("a status");
        classify(status, retry_after, NOW, client_errors_are_final)
    }

    #[test]
    fn every_status_has_its_meaning() {
        for status in 100..1000 {
            let (usually, when_final) = match status {
                200..=299 => (Outcome::Delivered, Outcome::Delivered),
                410 => (Outcome::Refused { disable: true }, Outcome::Refused { disable: true }),
                408 | 425 | 429 => (Outcome::Failed, Outcome::Failed),
                400..=499 => (Outcome::Failed, REFUSED),
                _ => (Outcome::Failed, Outcome::Failed),
            };
            assert_eq!(of(status, None, false), usually, "{status}");
            assert_eq!(of(status, None, true), when_final, "{status}, final");
            if ![429, 503].contains(&status) {
                assert_eq!(of(status, Some("60"), false), usually, "{status}, retry-after");
            }
        }
    }

    #[test]
    fn retry_after_holds_for_an_hour_at_the_most() {
        let seconds = |seconds| Outcome::Held(Duration::from_secs(seconds));
        for (asked, outcome) in [
            ("1", seconds(1)),
            (" 120 ", seconds(120)),
            ("3601", seconds(3600)),
            ("99999999999999999999999", seconds(3600)),
            ("Sun, 06 Nov 1994 08:49:38 GMT", seconds(1)),
            ("Sunday, 06-Nov-94 08:50:37 GMT", seconds(60)),
            ("Sun Nov  6 08:50:37 1994", seconds(60)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", seconds(3600)),
            ("0", Outcome::Failed),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Outcome::Failed),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Outcome::Failed),
            ("-1", Outcome::Failed),
            ("1.5", Outcome::Failed),
            ("soon", Outcome::Failed),
            ("", Outcome::Failed),
        ] {
            for status in [429, 503] {
                assert_eq!(of(status, Some(asked), true), outcome, "{status}, {asked:?}");
            }
        }
    }

    #[test]
    fn a_date_is_measured_from_now_to_the_microsecond() {
        let now = NOW - Duration::from_micros(1);
        let held = classify(StatusCode::TOO_MANY_REQUESTS, Some("Sun, 06 Nov 1994 08:49:37 GMT"), now, false);
        assert_eq!(held, Outcome::Held(Duration::from_micros(1)));
    }
}
