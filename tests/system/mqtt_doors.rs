//! Who may come in by MQTT: every kind of stranger that a broker can have, at the broker inside and at Mosquitto as it is
//! deployed, in both versions of the protocol.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use cornjacket_proto::admin::DeadLetter;
use cornjacket_testkit::device::{Answer, Login, Version};

use super::brokers::Site;
use super::cornjacket::http_get;

/// Whose messages are not to be seen or made.
const VICTIM: &str = "pump-7";
/// Who tries: a device like any other.
const INTRUDER: &str = "pump-8";
/// Was one.
const REVOKED: &str = "pump-9";
/// Whose id says what was tried.
const EVENT: &str = r#"{"id": "{id}", "struct": {}}"#;
/// The name of the session that Cornjacket has at Mosquitto, and the victim at the broker inside.
const SESSION: &str = "cornjacket";

/// What somebody tries.
#[derive(Clone, Copy, Debug)]
enum Attempt {
    /// To come in by this name and password.
    Login(Option<&'static str>, Secret),
    /// As the intruder: a topic and a payload.
    Publish(&'static str, &'static str),
    /// As the intruder, to have this published when it is gone.
    Will(&'static str),
    /// As the intruder.
    Subscribe(&'static str),
    /// As the intruder, under the name of another's session.
    Session,
}

#[derive(Clone, Copy, Debug)]
enum Secret {
    None,
    Text(&'static str),
    /// That of an account.
    Of(&'static str),
}

/// What comes of it. Nothing is stored of any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// Nobody comes in.
    Out,
    /// Somebody comes in, and has nothing of it.
    In,
    /// The message is not taken. MQTT 3.1.1 has no words for it: the broker inside hangs up, Mosquitto says that all is well.
    Denied,
    /// The connection is ended.
    Cut,
    /// The message is taken, and a dead letter says this of it.
    Letter(&'static str),
    /// The subscription is refused.
    Deaf,
}

type Row = (&'static str, Attempt, Expect, Expect);

/// What is tried, and what comes of it at the broker inside and at Mosquitto.
#[rustfmt::skip]
fn rows() -> Vec<Row> {
    use Attempt::{Login, Publish, Session, Subscribe, Will};
    use Expect::{Cut, Deaf, Denied, In, Letter, Out};
    use Secret::{None as Nothing, Of, Text};
    let ours = r#"{"specversion": "1.0", "id": "{id}", "source": "mqtt:pump-8", "type": "ai.anomaly", "data": {}}"#;
    let admin = r#"{"specversion": "1.0", "id": "{id}", "source": "cornjacket/admin", "type": "door.opened", "data": {}}"#;
    let theirs = r#"{"specversion": "1.0", "id": "{id}", "source": "mqtt:pump-7", "type": "door.opened", "subject": "pump-7", "data": {}}"#;
    let own = "cornjacket/v1/pump-8/door.opened";
    vec![
        ("anonymous", Login(None, Nothing), Out, Out),
        ("an empty name", Login(Some(""), Text("")), Out, Out),
        ("no account", Login(Some("pump-6"), Text("guess")), Out, Out),
        ("no account, and another's password", Login(Some("pump-6"), Of(VICTIM)), Out, Out),
        ("no password", Login(Some(VICTIM), Nothing), Out, Out),
        ("a wrong password", Login(Some(VICTIM), Text("guess")), Out, Out),
        ("another's password", Login(Some(VICTIM), Of(INTRUDER)), Out, Out),
        ("a revoked device", Login(Some(REVOKED), Of(REVOKED)), Out, Out),
        ("another's session", Session, Out, In),
        ("another's subject", Publish("cornjacket/v1/pump-7/door.opened", EVENT), Denied, Denied),
        ("what is below another", Publish("cornjacket/v1/pump-7/valve/door.opened", EVENT), Denied, Denied),
        ("a longer name", Publish("cornjacket/v1/pump-80/door.opened", EVENT), Denied, Denied),
        ("a subject above", Publish("cornjacket/v1/door.opened", EVENT), Denied, Denied),
        ("another version", Publish("cornjacket/v2/pump-8/door.opened", EVENT), Denied, Denied),
        ("elsewhere", Publish("other/topic", EVENT), Denied, Denied),
        ("the broker's own", Publish("$SYS/broker/uptime", EVENT), Denied, Denied),
        ("no type", Publish("cornjacket/v1/pump-8", EVENT), Denied, Letter("neither")),
        ("an empty type", Publish("cornjacket/v1/pump-8/", EVENT), Denied, Letter("neither")),
        ("any type", Publish("cornjacket/v1/pump-8/#", EVENT), Cut, Cut),
        ("any subject", Publish("cornjacket/v1/+/door.opened", EVENT), Cut, Cut),
        ("a type of ours", Publish("cornjacket/v1/pump-8/ai.anomaly", EVENT), Letter("Cornjacket's own"), Letter("Cornjacket's own")),
        ("a type of ours inside", Publish(own, ours), Letter("the topic says"), Letter("the topic says")),
        ("a source of ours", Publish(own, admin), Letter("the topic says"), Letter("the topic says")),
        ("another's source", Publish(own, theirs), Letter("the topic says"), Letter("the topic says")),
        ("a will of another", Will("cornjacket/v1/pump-7/system.device_offline"), Out, In),
        ("a will of nobody", Will("cornjacket/v1/system.device_offline"), Out, In),
        ("hearing everything", Subscribe("#"), Deaf, In),
        ("hearing all of us", Subscribe("cornjacket/v1/#"), Deaf, In),
        ("hearing any subject", Subscribe("cornjacket/v1/+/+"), Deaf, In),
        ("hearing another", Subscribe("cornjacket/v1/pump-7/#"), Deaf, In),
        ("hearing a share", Subscribe("$share/group/cornjacket/v1/#"), Deaf, In),
        ("hearing the broker", Subscribe("$SYS/#"), Deaf, In),
    ]
}

/// Who goes through the table.
struct Trial {
    site: Site,
    /// Events that are to be there.
    stored: usize,
}

impl Trial {
    /// The victim says something, and is cut off.
    async fn victim_speaks(&mut self) -> anyhow::Result<()> {
        let will = ("cornjacket/v1/pump-7/system.device_offline", "{}");
        let login = Login { will: Some(will), ..self.site.login(Version::V5, VICTIM) };
        let mut victim = login.connect(self.site.port).await?.context("the victim is let in")?;
        victim.publish("cornjacket/v1/pump-7/door.opened", 1, "{}").await?;
        victim.acknowledged().await?;
        drop(victim);
        self.stored += 2;
        self.site.until_stored(self.stored).await
    }

    /// Whether the attempt comes to what is expected, as far as whoever tries is told.
    async fn try_it(
        &mut self,
        attempt: Attempt,
        version: Version,
        id: &str,
        expect: Expect,
    ) -> anyhow::Result<()> {
        let (intruder, event) = (self.site.login(version, INTRUDER), EVENT.replace("{id}", id));
        let login = match attempt {
            Attempt::Login(user, secret) => {
                let password = match secret {
                    Secret::None => None,
                    Secret::Text(text) => Some(text),
                    Secret::Of(name) => Some(self.site.password(name)),
                };
                Login { client_id: id, user, password, ..intruder }
            }
            Attempt::Will(topic) => Login { will: Some((topic, event.as_str())), ..intruder },
            Attempt::Session => Login { client_id: SESSION, ..intruder },
            Attempt::Publish(..) | Attempt::Subscribe(_) => intruder,
        };
        let device = login.connect(self.site.port).await?;
        ensure!(device.is_none() == (expect == Expect::Out), "it is let in, or not: {device:?}");
        let Some(mut device) = device else { return Ok(()) };
        match attempt {
            Attempt::Publish(topic, payload) => {
                device.publish(topic, 1, &payload.replace("{id}", id)).await?;
                let answer = device.answer().await?;
                ensure!(self.is_said(answer, version, expect), "{answer:?}");
            }
            Attempt::Subscribe(filter) => {
                let is_granted = device.subscribe(filter).await?;
                ensure!(is_granted == (expect != Expect::Deaf), "it is granted: {is_granted}");
                self.victim_speaks().await?;
                let heard = device.heard().await?;
                ensure!(heard.is_empty(), "it hears {heard:?}");
            }
            Attempt::Login(..) | Attempt::Will(_) | Attempt::Session => {}
        }
        Ok(())
    }

    fn is_said(&self, answer: Answer, version: Version, expect: Expect) -> bool {
        match (expect, version) {
            (Expect::Denied, Version::V5) => answer == Answer::Refused(0x87),
            (Expect::Denied, Version::V3) if !self.site.is_inside() => answer == Answer::Acknowledged(1),
            (Expect::Denied | Expect::Cut, _) => answer == Answer::Cut,
            (Expect::Letter(_), _) => answer == Answer::Acknowledged(1),
            (Expect::Out | Expect::In | Expect::Deaf, _) => false,
        }
    }
}

/// Goes through the table at one broker, and looks in the log and the dead letters what became of it.
async fn law(site: Site) -> anyhow::Result<()> {
    let session = Login { client_id: SESSION, ..site.login(Version::V5, VICTIM) };
    let mut holder = if site.is_inside() { session.connect(site.port).await? } else { None };
    let (mut expected, is_inside) = (BTreeSet::new(), site.is_inside());
    let mut trial = Trial { site, stored: 0 };
    for (name, attempt, inside, mosquitto) in rows() {
        let expect = if is_inside { inside } else { mosquitto };
        for version in [Version::V3, Version::V5] {
            let id = format!("{name} by {version:?}");
            trial.try_it(attempt, version, &id, expect).await.with_context(|| id.clone())?;
            if let Expect::Letter(why) = expect {
                expected.insert((id, why));
            }
        }
    }
    if let Some(holder) = &mut holder {
        assert_eq!(holder.heard().await?, [""; 0], "the session is still its own");
    }
    trial.check(&expected).await
}

impl Trial {
    /// Nothing was stored of what was tried, and the letters are those that are expected.
    async fn check(self, expected: &BTreeSet<(String, &str)>) -> anyhow::Result<()> {
        let site = self.site;
        // What the intruder says of itself is stored; and with Mosquitto, everything that came before it.
        let mut intruder = site.device(INTRUDER).await?;
        intruder.publish("cornjacket/v1/pump-8/door.opened", 1, &EVENT.replace("{id}", "last")).await?;
        intruder.acknowledged().await?;
        site.until_stored(self.stored + 1).await?;
        for event in site.events().await? {
            assert_eq!(event.subject == VICTIM, event.id != "last", "{event:?}");
            assert!(!event.id.contains(" by V"), "{event:?}");
        }
        let letters = site.letters().await?;
        for (id, why) in expected {
            let about = |letter: &&DeadLetter| String::from_utf8_lossy(&letter.value).contains(id.as_str());
            let letter = letters.iter().find(about).with_context(|| format!("a letter about {id}"))?;
            assert!(letter.error.contains(why), "{id}: {}", letter.error);
        }
        assert_eq!(letters.len(), expected.len(), "{letters:?}");
        let metrics = http_get(site.cornjacket.ops, "/metrics").await?;
        assert!(!metrics.contains("cornjacket_mqtt_connections_lost_total"), "nobody has taken our session");
        site.stop().await
    }
}

const ACCOUNTS: [&str; 3] = [VICTIM, INTRUDER, REVOKED];

#[tokio::test(flavor = "multi_thread")]
async fn no_stranger_is_heard_or_hears_at_the_broker_inside() -> anyhow::Result<()> {
    let mut site = Site::inside(&ACCOUNTS).await?;
    site.revoke(REVOKED).await?;
    law(site).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_stranger_is_heard_or_hears_at_mosquitto() -> anyhow::Result<()> {
    let mut site = Site::mosquitto(&ACCOUNTS).await?;
    site.revoke(REVOKED).await?;
    law(site).await
}
