//! What watches series: the models in force, as the changes up to some point left them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cornjacket_domain::{Partitions, Patterns, SeriesKey, Shard, Topic};
use cornjacket_store::{Change, Control, Draft, Mode, Model, ModelId, StoreError, Tx};

use crate::detectors::{self, Made, ParameterError};

/// The series that a model watches.
#[derive(Debug)]
pub(crate) struct Watches {
    subjects: Patterns,
    metrics: Patterns,
}

impl Watches {
    /// As a draft says.
    pub fn of(draft: &Draft) -> Self {
        let pattern = |text: &str| Patterns::Any(vec![text.to_owned()]);
        Self { subjects: pattern(&draft.subjects), metrics: pattern(&draft.metrics) }
    }

    /// Whether a series is among them.
    pub fn allow(&self, key: &SeriesKey) -> bool {
        self.subjects.allow(&key.subject) && self.metrics.allow(&key.metric)
    }
}

/// A model that does something, and does it here.
#[derive(Debug)]
pub(crate) struct InForce {
    /// As it was registered.
    pub model: Model,
    /// The change with which it began; what it remembers from before another one is not its own.
    pub since: u64,
    /// What makes its detectors.
    pub makes: Box<dyn detectors::Model>,
    watches: Watches,
}

impl InForce {
    /// None of a model that a server runs.
    fn new(model: Model, since: u64) -> Result<Option<Self>, ParameterError> {
        match detectors::model(&model.draft.detector, &model.draft.parameters)? {
            Made::Here(makes) => {
                let watches = Watches::of(&model.draft);
                Ok(Some(Self { model, since, makes, watches }))
            }
            Made::Remote(_) => Ok(None),
        }
    }

    fn watches(&self, key: &SeriesKey) -> bool {
        self.watches.allow(key)
    }
}

/// The models in force.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watching {
    models: BTreeMap<ModelId, (Arc<InForce>, bool)>,
    /// Those that are in force, and cannot be run by this version.
    beyond: BTreeSet<ModelId>,
    /// Another one whenever a model comes or goes.
    pub generation: u64,
}

impl Watching {
    /// Whether nothing is watched.
    pub fn is_empty(&self) -> bool {
        self.models.is_empty()
    }

    /// Those of a series, in the order of their ids.
    pub fn of<'a>(&'a self, key: &'a SeriesKey) -> impl Iterator<Item = &'a Arc<InForce>> {
        self.models.values().map(|(model, _)| model).filter(|model| model.watches(key))
    }

    /// A model, if it is in force.
    pub fn get(&self, model: ModelId) -> Option<Arc<InForce>> {
        self.models.get(&model).map(|(model, _)| model.clone())
    }

    /// Whether any of them says something of silence.
    pub fn minds_silence(&self) -> bool {
        self.models.values().any(|(model, _)| model.makes.minds_silence())
    }

    /// A model, if it is in force and says something of the silence of a series.
    pub fn minds(&self, key: &SeriesKey, model: ModelId) -> Option<Arc<InForce>> {
        self.get(model).filter(|model| model.makes.minds_silence() && model.watches(key))
    }

    /// Whether a model is in force that this version cannot run, while others may.
    pub fn is_beyond(&self, model: ModelId) -> bool {
        self.beyond.contains(&model)
    }

    /// Whether what a model finds is an event.
    pub fn is_active(&self, model: ModelId) -> bool {
        self.models.get(&model).is_some_and(|(_, active)| *active)
    }

    /// Takes a change to modes; words on series are not its business.
    pub fn take(&mut self, control: &Control) {
        let Change::Mode(mode) = control.change else { return };
        let id = control.model.id;
        match (mode, self.models.get_mut(&id)) {
            (Mode::Off, _) => {
                self.models.remove(&id);
                self.beyond.remove(&id);
                self.generation = control.seq;
            }
            (Mode::Active | Mode::Shadow, Some((_, active))) => *active = mode == Mode::Active,
            (Mode::Active | Mode::Shadow, None) => match InForce::new(control.model.clone(), control.seq) {
                Ok(None) => {}
                Ok(Some(model)) => {
                    self.models.insert(id, (Arc::new(model), mode == Mode::Active));
                    self.generation = control.seq;
                }
                // Registered by a process of another version: series go on without it.
                Err(error) => {
                    let (name, version) = (&control.model.draft.name, control.model.version);
                    self.beyond.insert(id);
                    tracing::error!(name, version, %error, "a model cannot be run by this version of Cornjacket");
                }
            },
        }
    }
}

/// The changes to modes after one, in order. They are those of all shards; people's words are left out.
pub(crate) async fn switches(tx: &mut dyn Tx, after: u64) -> Result<Vec<Control>, StoreError> {
    let any = Shard::at(Topic::SensorEvents, 0, Partitions::ONE);
    tx.controls(any, after, u64::MAX).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(seq: u64, id: i32, subjects: &str, detector: &str, mode: Mode) -> Control {
        let draft = Draft {
            name: format!("m{id}"),
            detector: detector.into(),
            code: String::new(),
            subjects: subjects.into(),
            metrics: "temp*".into(),
            parameters: r#"{"upper": 5.0}"#.into(),
        };
        Control { seq, model: Model { id: ModelId(id), version: 1, draft }, change: Change::Mode(mode) }
    }

    fn at_a_server(seq: u64, id: i32) -> Control {
        let mut control = control(seq, id, "*", "remote", Mode::Active);
        control.model.draft.parameters = detectors::Remote::example().to_string();
        control
    }

    fn ids(watching: &Watching, subject: &str, metric: &str) -> Vec<(i32, u64)> {
        let key = SeriesKey { subject: subject.into(), metric: metric.into() };
        watching.of(&key).map(|model| (model.model.id.0, model.since)).collect()
    }

    #[test]
    fn changes_make_models_come_and_go() {
        let mut watching = Watching::default();
        for one in [
            control(1, 2, "*", "threshold", Mode::Active),
            control(2, 1, "pump-*", "threshold", Mode::Shadow),
            control(3, 3, "*", "of another version", Mode::Active),
            control(4, 2, "*", "threshold", Mode::Shadow),
            at_a_server(5, 4),
        ] {
            watching.take(&one);
        }
        assert_eq!(ids(&watching, "pump-1", "temperature"), [(1, 2), (2, 1)]);
        assert_eq!(ids(&watching, "valve", "temperature"), [(2, 1)]);
        assert!(ids(&watching, "valve", "pressure").is_empty());
        assert!(!watching.is_active(ModelId(2)) && !watching.is_active(ModelId(1)));
        assert_eq!(watching.generation, 2, "nothing came or went since");
        assert!(watching.is_beyond(ModelId(3)) && !watching.is_beyond(ModelId(4)));
        watching.take(&control(5, 2, "*", "threshold", Mode::Off));
        watching.take(&control(6, 2, "*", "threshold", Mode::Active));
        assert_eq!(ids(&watching, "valve", "temperature"), [(2, 6)], "it begins anew");
        assert!(watching.is_active(ModelId(2)));
    }
}
