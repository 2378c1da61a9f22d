//! What servers say counts for what models may do when it is written, and not when they were asked.

use std::sync::Arc;
use std::time::Duration;

use cornjacket_domain::{Partitions, SystemClock, Timestamp};
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::{Measurement, SensorReading};
use cornjacket_store::{ConsumerPartition, Draft, Model, Options, Progress, Store, TimeRange};

use super::*;
use crate::detectors;
use crate::remote::protocol::Judgement;
use crate::remote::roster::{Duties, Roster};

const ALWAYS: TimeRange = TimeRange { start: Timestamp::from_micros(0), end: Timestamp::LAST };

/// A store with a model that a server runs.
struct Bed {
    store: Store,
    model: Model,
    roster: Roster,
    /// Events that were written.
    written: u64,
    _folder: tempfile::TempDir,
}

impl Bed {
    async fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let url = format!("sqlite://{}", folder.path().join("cornjacket.db").display());
        let store = Store::open(&Options::new(url, Partitions::ONE), Arc::new(SystemClock)).await?;
        let draft = Draft {
            name: "m".into(),
            detector: "remote".into(),
            code: "1".into(),
            subjects: "*".into(),
            metrics: "*".into(),
            parameters: detectors::Remote::example().to_string(),
        };
        let model = store.models.register(&draft, Mode::Active, None, Timestamp::default()).await?;
        Ok(Self { store, model, roster: Roster::default(), written: 0, _folder: folder })
    }

    /// A sample for which a server is asked, which finds it as strange as can be; meanwhile the model is switched.
    async fn ask(&mut self, switched: &[Mode]) -> anyhow::Result<()> {
        let events = [reading(self.written + 1)];
        let Duties { head, all } = self.roster.now(self.store.models.as_ref()).await?;
        let strange = Judgement { score: 1.0, expected: None };
        let said = all.into_iter().map(|duty| Said { duty, outcomes: vec![(0, Ok(strange))] }).collect();
        let found = Found { batch: Batch::of(&events, Duration::from_hours(1)), head, said };
        for mode in switched {
            self.store.models.set_mode(self.model.id, *mode, None, Timestamp::default()).await?;
        }
        let consumer = crate::remote::NAME.to_owned();
        let at = ConsumerPartition { consumer, topic: "sensor-events", partition: 0 };
        let from = self.store.offsets.load(&at).await?;
        self.written += 1;
        let to = Progress { next_offset: self.written, last_position: self.written };
        let mut tx = self.store.offsets.begin(&at, from, to).await?.expect("nobody else");
        found.write(tx.as_mut(), &events).await?;
        Ok(tx.commit().await?)
    }

    /// Rows of scores, and anomalies that were sent.
    async fn there_are(&self) -> anyhow::Result<(usize, usize)> {
        let mut snapshot = self.store.snapshots.begin(Duration::from_secs(10)).await?;
        let rows = match snapshot.find_series(&key()).await? {
            Some((id, _)) => snapshot.scores(id, ALWAYS, None, 100).await?.len(),
            None => 0,
        };
        Ok((rows, self.store.outbox.waiting(10).await?.len()))
    }
}

fn key() -> SeriesKey {
    SeriesKey { subject: "pump".into(), metric: "level".into() }
}

fn reading(position: u64) -> Delivered {
    let SeriesKey { subject, metric } = key();
    let time = Timestamp::from_day(20_000) + Duration::from_millis(position);
    let reading = SensorReading { measurements: vec![Measurement { metric, value: 1.0, unit: "m".into() }] };
    let event = Event {
        id: position.to_string(),
        source: "plant".into(),
        r#type: "sensor.reading".into(),
        subject,
        event_time: Some(time.to_proto()),
        position,
        payload: Some(Payload::SensorReading(reading)),
        ..Event::default()
    };
    Delivered { offset: position - 1, ingest_time: time, event }
}

#[tokio::test]
async fn a_model_that_was_switched_while_its_server_was_asked_does_what_it_may_do_now() -> anyhow::Result<()>
{
    let mut bed = Bed::new().await?;
    bed.ask(&[Mode::Off]).await?;
    assert_eq!(bed.there_are().await?, (0, 0), "it is off: neither row nor anomaly");
    bed.ask(&[Mode::Shadow]).await?;
    assert_eq!(bed.there_are().await?, (0, 0), "nobody was asked");
    bed.ask(&[Mode::Active]).await?;
    assert_eq!(bed.there_are().await?, (1, 1), "it was a shadow when the server was asked");
    bed.ask(&[]).await?;
    assert_eq!(bed.there_are().await?, (2, 1), "the anomaly lasts");
    bed.ask(&[Mode::Off, Mode::Active]).await?;
    assert_eq!(bed.there_are().await?, (3, 2), "it has forgotten that one lasts");
    bed.ask(&[Mode::Off, Mode::Shadow]).await?;
    assert_eq!(bed.there_are().await?, (4, 2), "and again, but what a shadow finds is not sent");
    Ok(())
}
