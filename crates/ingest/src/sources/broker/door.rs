//! Who may connect, and what they may touch.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use aws_lc_rs::digest;
use cornjacket_domain::{Caller, Scope};
use cornjacket_proto::status::ErrorKind;
use cornjacket_store::PasswordHash;
use mqtt5::broker::{AuthProvider, AuthResult};
use mqtt5::packet::connect::ConnectPacket;
use mqtt5::types::ReasonCode;
use quick_cache::sync::Cache;
use tokio::sync::Semaphore;

use super::Shared;
use super::failures::Failures;
use super::guests::Login;
use crate::sources::mqtt::PREFIX;

/// Passwords that are known to be good, of devices that come back.
const CACHED: usize = 10_000;
/// Passwords that are checked at once: it takes a processor some 10 ms each, which commits need as well.
const AT_ONCE: usize = 2;
/// MQTT 3.1.1.
const V3: u8 = 4;

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The broker's door.
pub struct Door {
    shared: Arc<Shared>,
    failures: Failures,
    /// By a digest of hash and password: an account that is made anew has another hash.
    good: Cache<[u8; 32], ()>,
    turns: Semaphore,
}

impl Door {
    /// Lets in who is known to `shared`.
    pub fn new(shared: Arc<Shared>) -> Self {
        let (good, turns) = (Cache::new(CACHED), Semaphore::new(AT_ONCE));
        Self { shared, failures: Failures::default(), good, turns }
    }

    async fn let_in(&self, connect: &ConnectPacket, address: IpAddr) -> Result<String, ReasonCode> {
        let login = self.login(connect, address).await?;
        // The broker itself subscribes by such an id.
        if connect.client_id.starts_with('$') {
            return Err(ReasonCode::ClientIdentifierNotValid);
        }
        if let Some(will) = &connect.will
            && !self.may_publish(&login.caller, &will.topic)
        {
            return Err(ReasonCode::NotAuthorized);
        }
        let user = login.user.clone();
        let is_free = self.shared.guests.admit(&connect.client_id, login);
        if is_free { Ok(user) } else { Err(ReasonCode::ClientIdentifierNotValid) }
    }

    async fn login(&self, connect: &ConnectPacket, address: IpAddr) -> Result<Login, ReasonCode> {
        let says_why = connect.protocol_version != V3;
        let Some(tokens) = &self.shared.options.tokens else {
            return Ok(Login::token(Caller::allow_all(), says_why));
        };
        let (name, password) = (connect.username.as_deref(), connect.password.as_deref());
        let (name, password) = (name.unwrap_or_default(), password.unwrap_or_default());
        if self.failures.is_over(address, name) {
            return Err(ReasonCode::ConnectionRateExceeded);
        }
        let login = match token(password) {
            Some(token) => match tokens.caller(token, address).await {
                Ok(caller) if caller.authorize(Scope::Ingest).is_ok() => Some(Login::token(caller, says_why)),
                Err(failure) if failure.kind() == ErrorKind::Unavailable => {
                    return Err(ReasonCode::ServerUnavailable);
                }
                Ok(_) | Err(_) => None,
            },
            None => self.device(name, password, says_why).await?,
        };
        login.ok_or_else(|| {
            self.failures.note(address, name);
            ReasonCode::BadUsernameOrPassword
        })
    }

    /// The device, if it is one and that is its password.
    async fn device(&self, name: &str, password: &[u8], says_why: bool) -> Result<Option<Login>, ReasonCode> {
        let _turn = self.turns.acquire().await;
        let found = self.shared.options.devices.find(name).await.map_err(|error| {
            tracing::warn!(%error, "cannot look up a device");
            ReasonCode::ServerUnavailable
        })?;
        let account = found.as_ref().map(|device| device.created_at);
        let is_good = self.is_good(found.map(|device| device.password), password).await;
        Ok(account.filter(|_| is_good).map(|account| Login::device(name, account, says_why)))
    }

    /// As long as it takes for an account, it takes without one.
    async fn is_good(&self, hash: Option<PasswordHash>, password: &[u8]) -> bool {
        let key = hash.as_ref().map(|hash| digest_of(hash, password));
        if key.is_some_and(|key| self.good.get(&key).is_some()) {
            return true;
        }
        let password = password.to_vec();
        let check =
            tokio::task::spawn_blocking(move || hash.unwrap_or_else(PasswordHash::of_nobody).fits(&password));
        let is_good = check.await.unwrap_or(false);
        if let Some(key) = key.filter(|_| is_good) {
            self.good.insert(key, ());
        }
        is_good
    }

    fn may_publish(&self, caller: &Caller, topic: &str) -> bool {
        let place = self.shared.options.topics.place(topic);
        place.is_some_and(|(subject, _)| caller.authorize_subject(subject).is_ok())
    }
}

/// A password that is a token: a JWT in its compact form, whose header is a JSON object.
fn token(password: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(password).ok()?;
    (text.starts_with("eyJ") && text.split('.').count() == 3).then_some(text)
}

fn digest_of(hash: &PasswordHash, password: &[u8]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&hash.hash);
    context.update(password);
    context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Whether the filter matches nothing but topics of subjects that the caller may write.
fn may_subscribe(caller: &Caller, filter: &str) -> bool {
    let Some((subject, last)) = filter.strip_prefix(PREFIX).and_then(|rest| rest.rsplit_once('/')) else {
        return false;
    };
    // No subject has a star: one stands for all that is below.
    let below = format!("{subject}/*");
    !subject.contains(['+', '#', '*'])
        && caller.authorize_subject(subject).is_ok()
        && (last != "#" || caller.authorize_subject(&below).is_ok())
}

impl AuthProvider for Door {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        address: SocketAddr,
    ) -> Answer<'a, mqtt5::Result<AuthResult>> {
        Box::pin(async move {
            Ok(match self.let_in(connect, address.ip()).await {
                Ok(user) => AuthResult::success_with_user(user),
                Err(reason) => {
                    tracing::debug!(?reason, %address, "a login was refused");
                    AuthResult::fail(reason)
                }
            })
        })
    }

    /// What is refused here is answered with a PUBACK that says so. MQTT 3.1.1 has none: to such a device it would say that
    /// all is well. So the message goes on, to `intake`, which cuts the connection.
    fn authorize_publish<'a>(
        &'a self,
        client: &str,
        user: Option<&'a str>,
        topic: &'a str,
    ) -> Answer<'a, bool> {
        let login = self.shared.guests.login(client);
        let allowed = match &login {
            Some(login) => !login.says_why || self.may_publish(&login.caller, topic),
            // A connection that was cut, which `intake` knows; or a will that was to come later.
            None => user.and_then(|user| self.shared.guests.of_will(client, user)).is_some(),
        };
        if !allowed {
            metrics::counter!("cornjacket_mqtt_denied_total").increment(1);
        }
        Box::pin(std::future::ready(allowed))
    }

    fn authorize_subscribe<'a>(
        &'a self,
        client: &str,
        _: Option<&'a str>,
        filter: &'a str,
    ) -> Answer<'a, bool> {
        let login = self.shared.guests.login(client);
        let allowed = login.is_some_and(|login| may_subscribe(&login.caller, filter));
        Box::pin(std::future::ready(allowed))
    }
}

#[cfg(test)]
mod tests {
    use cornjacket_domain::Timestamp;

    use super::*;

    #[test]
    fn a_device_subscribes_to_its_own_topics() {
        let caller = Login::device("pump-7", Timestamp::default(), true).caller;
        for (filter, may) in [
            ("cornjacket/v1/pump-7/sensor.reading", true),
            ("cornjacket/v1/pump-7/+", true),
            ("cornjacket/v1/pump-7/#", true),
            ("cornjacket/v1/pump-7/valve/#", true),
            ("cornjacket/v1/pump-70/#", false),
            ("cornjacket/v1/+/sensor.reading", false),
            ("cornjacket/v1/#", false),
            ("#", false),
            ("$SYS/#", false),
            ("$share/group/cornjacket/v1/pump-7/#", false),
        ] {
            assert_eq!(may_subscribe(&caller, filter), may, "{filter}");
        }
    }

    #[test]
    fn a_token_is_told_from_a_password() {
        assert_eq!(token(b"eyJhbGciOiJIUzI1NiJ9.e30.c2ln"), Some("eyJhbGciOiJIUzI1NiJ9.e30.c2ln"));
        for password in [&b"correct horse"[..], b"eyJ", b"a.b.c", b"\xff"] {
            assert_eq!(token(password), None);
        }
    }
}
