//! A user: sessions of a handful of actions, more of them by day; not everybody logs out.

use std::time::Duration;

use cornjacket_domain::Timestamp;
use cornjacket_proto::events::UserAction;
use cornjacket_proto::events::event::Payload;

use crate::actor::Happening;
use crate::envelope::event;
use crate::options::Share;
use crate::random::Random;
use crate::signal::daily;

const SOURCE: &str = "simulator/app";
/// From the end of one session to the next, on average over the day.
const BETWEEN_SESSIONS: Duration = Duration::from_hours(1);
/// Soon enough that whoever watches sees somebody.
const FIRST_SESSION: Duration = Duration::from_mins(30);
const BETWEEN_ACTIONS: Duration = Duration::from_secs(20);
/// The hour (UTC) at which most are there, and how few are there at night.
const BUSIEST: f64 = 14.0;
const AT_NIGHT: f64 = 0.1;

const TARGETS: [&str; 6] =
    ["dashboard/overview", "dashboard/plants", "report/weekly", "alarm/open", "settings/profile", "map"];
/// What is done in a session: looked at three times as often as changed.
const ACTIONS: [&str; 4] = ["view", "view", "view", "update"];
/// After each action, how likely the session goes on.
const GOES_ON: f64 = 0.9;
/// Of all sessions, how many end with a logout; the others are left to end by themselves.
const LOGS_OUT: f64 = 0.8;

/// A user.
#[derive(Debug)]
pub struct User {
    name: String,
    random: Random,
    /// The id of the session under way.
    session: Option<String>,
    at: Timestamp,
}

impl User {
    /// Its first session begins in the first half hour.
    pub fn new(number: u32, mut random: Random, start: Timestamp) -> Self {
        let at = start + random.span(Duration::ZERO, FIRST_SESSION);
        Self { name: format!("user-{number:04}"), random, session: None, at }
    }

    /// The next action.
    pub fn next(&mut self) -> Happening {
        let Some(session) = self.session.clone() else { return self.login() };
        if self.happens(GOES_ON) {
            let (action, target) = (*self.random.one_of(&ACTIONS), *self.random.one_of(&TARGETS));
            let happening = self.act(action, target, session);
            self.at = self.at + self.random.wait(BETWEEN_ACTIONS);
            return happening;
        }
        self.session = None;
        let logout = self.happens(LOGS_OUT).then(|| self.act("logout", "", session));
        self.at = self.at + self.until_next_session();
        logout.unwrap_or_else(|| self.login())
    }

    fn login(&mut self) -> Happening {
        let session = self.random.id(self.at);
        self.session = Some(session.clone());
        let happening = self.act("login", "", session);
        self.at = self.at + self.random.wait(BETWEEN_ACTIONS);
        happening
    }

    fn act(&mut self, action: &str, target: &str, session_id: String) -> Happening {
        let payload = Payload::UserAction(UserAction {
            user: self.name.clone(),
            action: action.into(),
            target: target.into(),
            session_id,
            details: None,
        });
        let (at, event_type) = (self.at, format!("user.{action}"));
        Happening { at, event: event((SOURCE, &self.name), &event_type, at, payload, &mut self.random) }
    }

    /// Ten times as long at night as by day.
    fn until_next_session(&mut self) -> Duration {
        let presence = AT_NIGHT + (1.0 - AT_NIGHT) * (1.0 + daily(self.at, BUSIEST)) / 2.0;
        self.random.wait(BETWEEN_SESSIONS.mul_f64(0.5 / presence))
    }

    fn happens(&mut self, share: f64) -> bool {
        Share::new(share).is_some_and(|share| self.random.happens(share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actions(count: usize) -> Vec<(Timestamp, UserAction)> {
        let mut user = User::new(3, Random::new(1, 3), Timestamp::from_day(20_000));
        std::iter::repeat_with(|| {
            let Happening { at, event } = user.next();
            let Some(Payload::UserAction(action)) = event.payload else { panic!("{event:?}") };
            assert_eq!(event.r#type, format!("user.{}", action.action));
            (at, action)
        })
        .take(count)
        .collect()
    }

    #[test]
    fn a_session_begins_with_a_login_and_nothing_follows_a_logout() {
        let actions = actions(5_000);
        assert_eq!(actions[0].1.action, "login");
        let (mut logins, mut logouts) = (0, 0);
        for pair in actions.windows(2) {
            let [(before, one), (after, other)] = pair else { unreachable!("windows of two") };
            assert!(before <= after);
            let begins = one.session_id != other.session_id;
            assert_eq!(begins, other.action == "login");
            assert!(begins || one.action != "logout");
            logins += u32::from(begins);
            logouts += u32::from(other.action == "logout");
        }
        assert!(logins > 100 && logouts < logins && logouts > logins / 2, "{logins} {logouts}");
    }

    #[test]
    fn there_is_more_to_do_by_day() {
        let by_day = |at: &Timestamp| daily(*at, BUSIEST) > 0.0;
        let logins = actions(20_000).into_iter().filter(|(_, action)| action.action == "login");
        let (day, night): (Vec<_>, Vec<_>) = logins.partition(|(at, _)| by_day(at));
        assert!(day.len() > 2 * night.len(), "{} {}", day.len(), night.len());
    }
}
