//! Ids that follow from what they name: whoever decides the same again names it the same, and a receiver knows it.

use cornjacket_domain::{digest_of, id_of};

/// Of the decision of a rule on an event.
pub fn decision(rule: &str, source: &str, event_id: &str) -> String {
    id_of(["decision", rule, source, event_id])
}

/// Of the decision of a rule on all repeats of one that are of one type and subject: an alarm may have repeats of several.
pub fn repeats(decision: &str, rule: &str, event_type: &str, subject: &str) -> String {
    id_of(["repeats", decision, rule, event_type, subject])
}

/// Of the decision on events of one kind that are not told for one reason, within a span of time that has a number.
pub fn untold(reason: &str, rule: &str, event_type: &str, subject: &str, span: i64) -> String {
    id_of([reason, rule, event_type, subject, &span.to_string()])
}

/// Of what is told together of a group, beginning with a decision.
pub fn telling(rule: &str, key: &str, decision: &str) -> String {
    id_of(["telling", rule, key, decision])
}

/// Of what is told to an endpoint because of a decision.
pub fn delivery(decision: &str, endpoint: &str) -> String {
    id_of(["delivery", decision, endpoint])
}

/// A number that is the same for the same delivery and attempt, and as good as random otherwise: 0 to below 1.
pub fn chance(delivery: &str, attempt: u32) -> f64 {
    let bytes = digest_of([delivery, &attempt.to_string()]);
    f64::from(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_has_the_same_id_and_nothing_else_has() {
        assert_eq!(decision("hot", "sensors", "7"), decision("hot", "sensors", "7"));
        assert_ne!(decision("a", "bc", "d"), decision("ab", "c", "d"));
        assert_ne!(repeats("a", "b", "c", "d"), repeats("a", "b", "c", "e"));
    }

    #[test]
    fn chances_are_spread() {
        let all: Vec<f64> = (0..1_000).map(|attempt| chance("one", attempt)).collect();
        assert!(all.iter().all(|one| (0.0..1.0).contains(one)));
        let mean = all.iter().sum::<f64>() / 1_000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
    }
}
