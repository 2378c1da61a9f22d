use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use cornjacket_bus::consumer::State;
use cornjacket_bus::embedded::EmbeddedBus;
use cornjacket_bus::{Consumer, Delivered, Handler, HandlerError};
use cornjacket_domain::{Event, Limits, Partitions, SystemClock};
use cornjacket_proto::events as proto;
use cornjacket_store::{Options, Tx};
use cornjacket_testkit::wait;

use super::*;
use crate::checkpoint::StoreCheckpoint;
use crate::shutdown::Shutdown;

const STEP: Duration = Duration::from_secs(1);
const DEADLINE: Duration = Duration::from_secs(30);

#[test]
fn who_does_not_move_before_what_is_due_waits_ever_longer() {
    let mut due = Due::default();
    assert_eq!(due.look(5, 9, STEP), Duration::ZERO, "from now on it is due");
    assert_eq!(due.look(5, 12, STEP), STEP);
    assert_eq!(due.look(5, 15, STEP), 2 * STEP);
    assert_eq!(due.look(7, 20, STEP), Duration::ZERO, "slow, but it gets on");
    assert_eq!(due.look(7, 20, STEP), STEP);
    assert_eq!(due.look(9, 20, STEP), Duration::ZERO, "there, and the next is due");
    assert_eq!(due.position, Some(20));
}

#[test]
fn who_has_nothing_to_do_is_never_late() {
    let mut due = Due::default();
    for _ in 0..100 {
        assert_eq!(due.look(9, 9, STEP), Duration::ZERO);
        // One that read on in the log is beyond the last event of its partition.
        assert_eq!(due.look(30, 9, STEP), Duration::ZERO);
    }
}

/// A stage that reads sensor events and hangs whenever it is started, in the state that is given.
fn hanging(state: State) -> (Stages, Shutdown) {
    let (stages, shutdown) = (Stages::default(), Shutdown::default());
    stages.start(&shutdown, "device_state", Input::Topics(vec![Topic::SensorEvents]), move |told| {
        told.send_replace(state.clone());
        std::future::pending::<()>()
    });
    (stages, shutdown)
}

async fn store(folder: &Path) -> anyhow::Result<Store> {
    let url = format!("sqlite://{}", folder.join("cornjacket.db").display());
    let options = Options::new(url, Partitions::ONE);
    Ok(Store::open(&options, Arc::new(SystemClock)).await?)
}

fn watchdog(stages: &Stages, store: &Store, stuck_after: Duration) -> Watchdog {
    Watchdog::new(stages.clone(), store.clone(), Arc::new(SystemClock), false, stuck_after)
}

#[tokio::test]
async fn only_who_waits_for_nothing_is_stuck() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let store = store(folder.path()).await?;
    let newest = BTreeMap::from([((Topic::SensorEvents, 0), 5), ((Topic::UserActions, 0), 6)]);
    let seen = Seen { newest, ..Seen::default() };
    for (state, expected) in [
        (State::Running, 1),
        (State::Parked { keys: 1 }, 1),
        (State::Paused, 0),
        (State::Waiting { reason: "an outage".into() }, 0),
    ] {
        let (stages, _shutdown) = hanging(state.clone());
        let told = async || stages.all()[0].state() == state;
        wait::until(DEADLINE, "it says how it is", told).await?;
        let mut watchdog = watchdog(&stages, &store, 60 * STEP);
        let stuck: usize = (0..100).map(|_| watchdog.judge(&seen, STEP).len()).sum();
        assert_eq!(stuck, expected, "{state:?}, over a hundred seconds");
    }
    Ok(())
}

/// Hangs the first time it is asked.
struct HangsOnce(Arc<AtomicBool>);

#[async_trait]
impl Handler<Box<dyn Tx>> for HangsOnce {
    type Prepared = ();
    fn name(&self) -> &'static str {
        "device_state"
    }
    fn topics(&self) -> &[Topic] {
        &[Topic::SensorEvents]
    }
    async fn handle(&self, _: &mut Box<dyn Tx>, _: &[Delivered], (): ()) -> Result<(), HandlerError> {
        if !self.0.swap(true, Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_consumer_whose_handler_hangs_is_started_anew_and_gets_on() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let store = store(folder.path()).await?;
    let event = proto::Event {
        id: "1".into(),
        source: "test".into(),
        r#type: "sensor.reading".into(),
        subject: "pump".into(),
        ..proto::Event::default()
    };
    store.log.append(&[Event::new(event, Timestamp::default(), &Limits::default())?]).await?;

    let (stages, shutdown) = (Stages::default(), Shutdown::default());
    let (hung, parts) = (Arc::new(AtomicBool::new(false)), store.clone());
    stages.start(&shutdown, "device_state", Input::Topics(vec![Topic::SensorEvents]), move |state| {
        let bus = Arc::new(EmbeddedBus::new(crate::wiring::log(&parts, 1)));
        let checkpoint = StoreCheckpoint::new(&parts, Arc::new(SystemClock));
        let consumer = Consumer::new(bus, checkpoint, HangsOnce(hung.clone()), 1).with_state(state);
        consumer.run(std::future::pending())
    });
    let watched = watchdog(&stages, &store, Duration::from_millis(400)).run(shutdown.stop.clone());
    let watched = tokio::spawn(watched);
    let progress = async || {
        let listed = store.consumers.list().await.ok()?;
        listed.first().map(|status| status.progress.last_position)
    };
    wait::until(DEADLINE, "it gets on", async || progress().await == Some(1)).await?;
    let running = async || stages.all()[0].state() == State::Running;
    wait::until(DEADLINE, "it is not called stuck any more", running).await?;
    assert_eq!(stages.as_json()[0]["restarts"], 1);
    shutdown.stop.cancel();
    watched.await?
}
