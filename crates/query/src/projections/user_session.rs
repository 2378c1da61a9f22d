//! `user_session`: a user's latest session, which ends with a logout or by a gap.

use cornjacket_domain::Timestamp;
use cornjacket_proto::events::event::Payload;
use cornjacket_store::ProjectionId;
use serde::{Deserialize, Serialize};

use super::{Before, Happening, Mark, Moment, Origin, Parameters, Projection, TypePattern};

/// The action that ends a session.
const LOGOUT: &str = "logout";

/// The latest session of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserSession {
    user: String,
    #[serde(with = "super::time")]
    started: Timestamp,
    #[serde(with = "super::time")]
    last_seen: Timestamp,
    actions: u64,
    last_action: String,
    open: bool,
    /// The action that came last by its own time.
    last: Mark,
    /// The position that began it, as far as that is known.
    #[serde(with = "super::time::position", default)]
    first: u64,
}

impl Projection for UserSession {
    const ID: ProjectionId = ProjectionId { name: "user_session", version: 1 };
    const TYPES: &'static [TypePattern] = &[TypePattern::Under("user.")];

    fn fold(&mut self, happening: &Happening<'_>, parameters: &Parameters) {
        let Some(Payload::UserAction(action)) = &happening.event.payload else { return };
        let mark = happening.mark();
        let begins = self.actions == 0 || mark.time > self.last_seen + parameters.session_gap;
        if begins {
            let (started, first) = (mark.time, mark.position);
            *self = Self { started, last_seen: started, first, ..Self::default() };
        } else if mark.time + parameters.session_gap < self.started {
            // It belongs to an earlier session.
            return;
        }
        self.actions += 1;
        self.started = self.started.min(mark.time);
        self.last_seen = self.last_seen.max(mark.time);
        if begins || mark > self.last {
            self.last = mark;
            self.user.clone_from(&action.user);
            self.last_action.clone_from(&action.action);
            self.open = action.action != LOGOUT;
        }
    }

    /// How many actions a session had before the log, it does not tell.
    fn before(self, log: &Origin) -> Before<Self> {
        if self.first < log.position { Before::Beginning } else { Before::Nothing }
    }

    /// A session that nobody ended is over after the gap.
    fn seen_at(self, moment: &Moment) -> Option<Self> {
        let open = self.open && self.last_seen + moment.parameters.session_gap >= moment.now;
        (self.last_seen >= moment.oldest).then_some(Self { open, ..self })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use cornjacket_proto::events::{Event, UserAction};

    use super::*;

    const MINUTE: i64 = 60_000_000;

    fn fold(actions: &[(i64, &str)]) -> UserSession {
        let mut state = UserSession::default();
        for (position, (minute, action)) in (1..).zip(actions) {
            let action = UserAction { user: "ada".into(), action: (*action).into(), ..UserAction::default() };
            let payload = Some(Payload::UserAction(action));
            let event = Event { position, payload, ..Event::default() };
            let time = Timestamp::from_micros(minute * MINUTE);
            state.fold(&Happening { event: &event, time }, &Parameters::default());
        }
        state
    }

    fn minute(time: Timestamp) -> i64 {
        time.as_micros() / MINUTE
    }

    #[test]
    fn the_json_is_the_documented_one() {
        let json = serde_json::to_value(fold(&[(0, "login"), (5, "open_door")])).expect("plain data");
        let keys: BTreeSet<_> = json.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
        let documented = ["user", "started", "last_seen", "actions", "last_action", "open"];
        assert!(documented.iter().all(|key| keys.contains(key)), "{json}");
        assert_eq!((&json["actions"], &json["last_action"]), (&2.into(), &"open_door".into()));
        assert_eq!(json["last_seen"], "1970-01-01T00:05:00Z");
    }

    #[test]
    fn a_gap_begins_a_new_session_and_half_an_hour_is_none() {
        let one = fold(&[(0, "login"), (30, "look")]);
        assert_eq!((one.actions, minute(one.started)), (2, 0));
        let two = fold(&[(0, "login"), (31, "look")]);
        assert_eq!((two.actions, minute(two.started)), (1, 31));
    }

    #[test]
    fn a_session_that_the_log_does_not_begin_is_kept() {
        let log = |position| Origin { position, time: Timestamp::default() };
        let state = fold(&[(0, "of another session"), (40, "login"), (50, "look")]);
        assert_eq!(state.clone().before(&log(3)), Before::Beginning);
        assert_eq!(state.before(&log(2)), Before::Nothing);
        let mut json = serde_json::to_value(fold(&[(0, "login")])).expect("plain data");
        json.as_object_mut().expect("an object").remove("first");
        let older = serde_json::from_value::<UserSession>(json).expect("it had no such field");
        assert_eq!(older.before(&log(2)), Before::Beginning);
    }

    #[test]
    fn late_actions_count_where_they_belong() {
        let state = fold(&[(100, "login"), (110, "look"), (95, "late"), (20, "of an earlier session")]);
        assert_eq!((state.actions, minute(state.started), minute(state.last_seen)), (3, 95, 110));
        assert_eq!(state.last_action, "look");
    }

    #[test]
    fn a_session_ends_with_a_logout_or_by_the_gap() {
        assert!(!fold(&[(0, "login"), (1, "logout")]).open);
        let open = fold(&[(0, "login")]);
        let seen = |minutes: u64| {
            let now = Timestamp::default() + Duration::from_mins(minutes);
            let moment = Moment { now, oldest: Timestamp::default(), parameters: Parameters::default() };
            open.clone().seen_at(&moment).expect("not expired").open
        };
        assert!(seen(30) && !seen(31));
    }
}
