//! Who is connected: the one place that knows what a connection may do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cornjacket_domain::{Caller, Patterns, Scope, Timestamp};
use tokio::time::Instant;

/// How long somebody is remembered who is not there: a will is published after its device is gone.
const REMEMBERED: Duration = Duration::from_mins(1);
/// What a device's name follows in the broker's name for a user. Holders of tokens are `token …`.
const DEVICE: &str = "device ";

/// What somebody showed who may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The broker's name for them: sessions belong to it.
    pub user: String,
    /// What they may do.
    pub caller: Caller,
    /// When the device's account was made, where there is one.
    pub account: Option<Timestamp>,
    /// MQTT 5, which can say why a message is refused; 3.1.1 cannot.
    pub says_why: bool,
}

impl Login {
    /// A device by its account.
    pub fn device(name: &str, account: Timestamp, says_why: bool) -> Self {
        let user = format!("{DEVICE}{name}");
        Self { caller: of_device(name), user, account: Some(account), says_why }
    }

    /// Somebody by a token, or anybody where there is no authentication.
    pub fn token(caller: Caller, says_why: bool) -> Self {
        let user = format!("token {}", caller.name().unwrap_or("anybody"));
        Self { user, caller, account: None, says_why }
    }

    /// The name of the device.
    pub fn device_name(&self) -> Option<&str> {
        self.user.strip_prefix(DEVICE)
    }
}

/// A device writes about itself, and about what is below it.
fn of_device(name: &str) -> Caller {
    let subjects = Patterns::Any(vec![name.to_owned(), format!("{name}/*")]);
    Caller::new(name, &[Scope::Ingest]).limited_to(subjects, Patterns::All)
}

#[derive(Debug)]
struct Guest {
    login: Arc<Login>,
    /// More than one for a moment, when a new one takes the place of an old one.
    connections: u32,
    /// No message of it counts any more.
    is_cut: bool,
    changed: Instant,
}

/// Everybody who is connected, or was a moment ago, by client id.
#[derive(Debug, Default)]
pub struct Guests(Mutex<HashMap<String, Guest>>);

impl Guests {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Guest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets somebody in under a client id: not while somebody else is there by it, whom they would push out.
    pub fn admit(&self, client: &str, login: Login) -> bool {
        let (mut all, now) = (self.all(), Instant::now());
        all.retain(|_, guest| guest.connections > 0 || now < guest.changed + REMEMBERED);
        if let Some(guest) = all.get_mut(client) {
            if guest.connections > 0 && guest.login.user != login.user {
                return false;
            }
            guest.login = Arc::new(login);
            guest.changed = now;
            return true;
        }
        let guest = Guest { login: Arc::new(login), connections: 0, is_cut: false, changed: now };
        all.insert(client.to_owned(), guest);
        true
    }

    /// A connection has begun.
    pub fn come(&self, client: &str) {
        if let Some(guest) = self.all().get_mut(client) {
            guest.connections += 1;
        }
    }

    /// A connection has ended.
    pub fn gone(&self, client: &str) {
        if let Some(guest) = self.all().get_mut(client) {
            guest.connections = guest.connections.saturating_sub(1);
            // While one is left, it may be the one that was cut. Whoever came meanwhile is cut as well, and comes again.
            guest.is_cut &= guest.connections > 0;
            guest.changed = Instant::now();
        }
    }

    /// From now on nothing of this connection counts.
    pub fn cut(&self, client: &str) {
        if let Some(guest) = self.all().get_mut(client) {
            guest.is_cut = guest.connections > 0;
        }
    }

    /// Who it is; nobody when nothing of the connection counts any more.
    pub fn login(&self, client: &str) -> Option<Arc<Login>> {
        self.all().get(client).filter(|guest| !guest.is_cut).map(|guest| guest.login.clone())
    }

    /// What the user of a will may do, who is not there any more. A token's holder is forgotten after a minute.
    pub fn of_will(&self, client: &str, user: &str) -> Option<Caller> {
        let known = self.all().get(client).map(|guest| guest.login.clone());
        match known.filter(|login| login.user == user) {
            Some(login) => Some(login.caller.clone()),
            None => user.strip_prefix(DEVICE).map(of_device),
        }
    }

    /// Everybody who is connected.
    pub fn connected(&self) -> Vec<(String, Arc<Login>)> {
        let all = self.all();
        let there = all.iter().filter(|(_, guest)| guest.connections > 0);
        there.map(|(client, guest)| (client.clone(), guest.login.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(name: &str) -> Login {
        Login::device(name, Timestamp::default(), true)
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_pushed_out_by_somebody_else() {
        let guests = Guests::default();
        assert!(guests.admit("client", login("pump-7")));
        assert!(guests.admit("client", login("pump-8")), "nobody is there yet");
        assert!(guests.admit("client", login("pump-7")));
        guests.come("client");
        assert!(!guests.admit("client", login("pump-8")));
        assert!(guests.admit("client", login("pump-7")), "a device may take its own place");
        guests.come("client");
        guests.gone("client");
        assert_eq!(guests.connected().len(), 1);
        guests.gone("client");
        assert!(guests.connected().is_empty());
        assert!(guests.login("client").is_some(), "its will may come");
        tokio::time::advance(REMEMBERED).await;
        assert!(guests.admit("other", login("pump-9")));
        assert!(guests.login("client").is_none());
        assert!(guests.of_will("client", "device pump-7").is_some());
        assert!(guests.of_will("client", "token x").is_none());
    }

    #[tokio::test]
    async fn nothing_of_a_connection_counts_once_it_is_cut() {
        let guests = Guests::default();
        assert!(guests.admit("client", login("pump-7")));
        guests.come("client");
        guests.cut("client");
        assert!(guests.login("client").is_none());
        guests.come("client");
        guests.gone("client");
        assert!(guests.login("client").is_none(), "which of the two has ended is not known");
        guests.gone("client");
        assert!(guests.login("client").is_some(), "the next connection is another one");
    }

    #[test]
    fn a_device_writes_about_itself_and_what_is_below_it() {
        let caller = of_device("pump-7");
        for (subject, may) in [("pump-7", true), ("pump-7/valve", true), ("pump-70", false), ("pump", false)]
        {
            assert_eq!(caller.authorize_subject(subject).is_ok(), may, "{subject}");
        }
    }
}
