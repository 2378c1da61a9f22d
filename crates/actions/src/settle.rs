//! What becomes of a delivery, and of what is known of its endpoint, after an attempt.

use std::time::Duration;

use cornjacket_domain::Timestamp;
use cornjacket_proto::actions::RetrySchedule;
use cornjacket_proto::actions::attempt::Outcome;
use cornjacket_store::{AttemptResult, Delivery, DeliveryState, Settling, StoreError, Tx};
use prost::Message as _;

use crate::breaker::{self, Answer};
use crate::{Message, ids, said, schedule};

/// Attempts at one delivery at the most, until somebody has it sent again, whatever they come to: an endpoint that always asks to be left alone, or a delivery that
/// every process dies of, does not go on for ever.
const MOST: u32 = 100;

/// An attempt that is over.
#[derive(Debug)]
pub struct Finished {
    /// The delivery as it was before it was claimed for the attempt.
    pub delivery: Delivery,
    /// What came of it, as it is kept.
    pub result: AttemptResult,
    /// What that says of the endpoint.
    pub answer: Answer,
    /// Whether trying again would change nothing.
    pub is_final: bool,
    /// What the endpoint's schedule is.
    pub schedule: RetrySchedule,
}

/// How far a delivery is after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Next {
    state: DeliveryState,
    due: Timestamp,
    steps: u32,
}

impl Finished {
    /// An attempt at a delivery, as it is now, of which nobody will say any more what came of it.
    pub fn abandoned(delivery: Delivery, schedule: RetrySchedule) -> Self {
        let result = AttemptResult {
            outcome: outcome(Outcome::Interrupted),
            error: "whoever sent it went away: it may have arrived".to_owned(),
            ..AttemptResult::default()
        };
        // As it was before: the claim counted.
        let delivery = Delivery { fence: delivery.fence - 1, attempts: delivery.attempts - 1, ..delivery };
        Self { delivery, result, answer: Answer::Nothing, is_final: false, schedule }
    }

    fn attempt(&self) -> u32 {
        self.delivery.attempts + 1
    }

    /// Since it was last sent again.
    fn attempts(&self) -> u32 {
        self.attempt() - self.delivery.attempts_before
    }

    fn next(&self, now: Timestamp) -> Next {
        let steps = self.delivery.steps;
        let pending = |wait: Duration, steps| Next { state: DeliveryState::Pending, due: now + wait, steps };
        let over = |state| Next { state, due: now, steps };
        if self.answer == Answer::Good {
            return over(DeliveryState::Delivered);
        }
        if self.is_final || self.attempts() >= MOST {
            return over(DeliveryState::Dead);
        }
        match self.answer {
            // It is the endpoint that is held.
            Answer::Hold(long) => pending(long, steps),
            // Whoever died had no answer: that is no failure.
            Answer::Nothing => pending(Duration::ZERO, steps),
            Answer::Good | Answer::Refused | Answer::Bad | Answer::Gone | Answer::NotAsked => {
                match schedule::delay(self.schedule, steps + 1) {
                    Some(delay) => {
                        let chance = ids::chance(&self.delivery.told.id, self.attempt());
                        pending(schedule::jittered(delay, chance), steps + 1)
                    }
                    None => over(DeliveryState::Dead),
                }
            }
        }
    }
}

/// As an outcome is kept.
pub fn outcome(outcome: Outcome) -> i16 {
    i16::try_from(i32::from(outcome)).unwrap_or_default()
}

/// Notes what came of an attempt. False, and nothing of it, when somebody else has claimed the delivery since.
pub async fn settle(tx: &mut dyn Tx, finished: &Finished, now: Timestamp) -> Result<bool, StoreError> {
    let told = &finished.delivery.told;
    // Before the delivery: whoever settles another one of this endpoint waits here.
    let before = tx.lock_health(&told.endpoint).await?;
    let next = finished.next(now);
    let settling = Settling {
        id: &told.id,
        fence: finished.delivery.fence + 1,
        attempt: finished.attempt(),
        result: &finished.result,
        state: next.state,
        due: next.due,
        steps: next.steps,
        now,
    };
    if !tx.settle_delivery(&settling).await? {
        return Ok(false);
    }
    let health = breaker::after(&before, finished.answer, now);
    if health != before {
        tx.set_health(&told.endpoint, &health).await?;
    }
    let disabled = health.disabled.filter(|_| before.disabled.is_none());
    let events = say(finished, next.state == DeliveryState::Dead, disabled.as_deref());
    if !events.is_empty() {
        tx.send(&events).await?;
    }
    count(finished, next.state);
    Ok(true)
}

/// In one line each, and as events.
fn say(finished: &Finished, is_dead: bool, disabled: Option<&str>) -> Vec<Vec<u8>> {
    let (told, error) = (&finished.delivery.told, finished.result.error.as_str());
    // What it was about is part of the event; it was encoded by us.
    let message = Message::decode(told.message.as_slice()).unwrap_or_default();
    let mut events = Vec::new();
    if is_dead {
        tracing::error!(
            endpoint = told.endpoint,
            rule = told.rule,
            event_source = told.source,
            event_id = told.event_id,
            delivery = told.id,
            attempts = finished.attempt(),
            error,
            "a delivery was given up"
        );
        events.push(said::delivery_failed(&finished.delivery, &message, finished.attempt(), error));
    }
    if let Some(reason) = disabled {
        tracing::error!(endpoint = told.endpoint, reason, "nothing is sent to an endpoint any more");
        events.push(said::endpoint_disabled(&finished.delivery, &message, reason));
    }
    events
}

fn count(finished: &Finished, state: DeliveryState) {
    let outcome = Outcome::try_from(i32::from(finished.result.outcome)).unwrap_or_default();
    let name = outcome.as_str_name().trim_start_matches("OUTCOME_").to_lowercase();
    metrics::counter!("cornjacket_actions_attempts_total", "outcome" => name).increment(1);
    if state == DeliveryState::Dead {
        metrics::counter!("cornjacket_actions_dead_total").increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{NOW, delivery};

    fn finished(answer: Answer) -> Finished {
        Finished {
            delivery: delivery("msg", "pager"),
            result: AttemptResult::default(),
            answer,
            is_final: false,
            schedule: RetrySchedule::Adr,
        }
    }

    #[test]
    fn what_fails_is_tried_again_as_its_schedule_says_and_then_given_up() {
        let (mut one, mut waits) = (finished(Answer::Bad), Vec::new());
        loop {
            let next = one.next(NOW);
            if next.state == DeliveryState::Dead {
                break;
            }
            waits.push((next.due.as_micros() - NOW.as_micros()) / 1_000);
            one.delivery = Delivery { attempts: one.attempt(), steps: next.steps, ..one.delivery };
        }
        assert_eq!(one.attempt(), 6, "the first and five more");
        let wanted = [1_000, 2_000, 4_000, 8_000, 16_000];
        assert!(waits.iter().zip(wanted).all(|(wait, delay)| (wait - delay).abs() <= delay / 5), "{waits:?}");
        assert_eq!(waits.len(), 5);
    }

    #[test]
    fn what_is_final_is_final_and_what_is_good_has_arrived() {
        assert_eq!(finished(Answer::Good).next(NOW).state, DeliveryState::Delivered);
        let refused = Finished { is_final: true, ..finished(Answer::Nothing) };
        assert_eq!(refused.next(NOW).state, DeliveryState::Dead);
    }

    #[test]
    fn being_held_or_cut_off_is_no_step_but_ends_too() {
        let held = finished(Answer::Hold(Duration::from_secs(30)));
        assert_eq!((held.next(NOW).due, held.next(NOW).steps), (NOW + Duration::from_secs(30), 0));
        let claimed = Delivery { fence: 1, attempts: 1, ..delivery("msg", "pager") };
        let abandoned = Finished::abandoned(claimed, RetrySchedule::Adr);
        assert_eq!((abandoned.attempt(), abandoned.delivery.fence), (1, 0));
        assert_eq!(abandoned.next(NOW), Next { state: DeliveryState::Pending, due: NOW, steps: 0 });
        let mut last = finished(Answer::Hold(Duration::from_secs(30)));
        last.delivery.attempts = MOST - 1;
        assert_eq!(last.next(NOW).state, DeliveryState::Dead);
        // Sent again, it begins anew.
        last.delivery.attempts_before = last.delivery.attempts;
        assert_eq!(last.next(NOW).state, DeliveryState::Pending);
    }
}
