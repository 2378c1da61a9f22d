//! Models that go over stored samples, for those who do not see where that is done.

use cornjacket_domain::SeriesKey;
use cornjacket_inference::backtest::{self, How, Material, NoMaterial, Question, Seen};
use cornjacket_proto::events::AnomalyDetected;
use cornjacket_query::replays::{Judged, NoReplay, Playable, Replay, ReplayQuestion, Replays, Sent};
use cornjacket_store::{Draft, Model, Snapshot};

/// What models say of series in the store.
#[derive(Clone, Copy, Debug)]
pub struct StoredSamples;

#[tonic::async_trait]
impl Replays for StoredSamples {
    fn playable(&self, draft: &Draft) -> Result<Playable, (String, String)> {
        let playable = backtest::playable(draft).map_err(|error| (error.field, error.problem))?;
        Ok(match playable {
            backtest::Playable::Whole => Playable::Whole,
            backtest::Playable::ScoresOnly => Playable::ScoresOnly,
            backtest::Playable::Nothing => Playable::Nothing,
        })
    }

    async fn prepare(
        &self,
        snapshot: &mut dyn Snapshot,
        question: ReplayQuestion,
    ) -> Result<Replay, NoReplay> {
        let ReplayQuestion { series, key, shard, model, as_it_ran, range, oldest, most, compared } = question;
        let how = if as_it_ran { How::AsItRan } else { How::Anew };
        let (of, named) = (model.clone(), key.clone());
        let question = Question { series, key, shard, model, how, range, oldest, most, compared };
        let mut material = Material::read(snapshot, question).await.map_err(|error| match error {
            NoMaterial::TooMany(most) => NoReplay::TooMany(most),
            NoMaterial::TooManySent(most) => NoReplay::TooManySent(most),
            NoMaterial::Store(error) => NoReplay::Store(error),
        })?;
        let sent = std::mem::take(&mut material.sent);
        Ok(Replay {
            samples: material.samples() as u64,
            sent: sent.into_iter().map(to_sent).collect(),
            run: Box::new(move |waits, tell| {
                material.run(&|| waits.goes_on(), &mut |seen| tell(judged(&of, &named, &seen)))
            }),
        })
    }

    fn event_id(&self, anomaly: &AnomalyDetected, parameters: &str) -> String {
        backtest::event_id(anomaly, parameters)
    }
}

fn to_sent(sent: backtest::Sent) -> Sent {
    let backtest::Sent { time, position, model, score, severity } = sent;
    Sent { time, position, model, score, severity }
}

fn judged(model: &Model, key: &SeriesKey, seen: &Seen) -> Judged {
    let verdict = seen.verdict.as_ref();
    let expected = verdict.and_then(|verdict| verdict.expected);
    Judged {
        sample: seen.sample,
        late: verdict.is_none(),
        score: verdict.and_then(|verdict| verdict.score),
        expected: expected.map(|expected| [expected.value, expected.lower, expected.upper]),
        anomaly: backtest::anomaly(model, key, seen),
        is_active: seen.is_active,
    }
}
