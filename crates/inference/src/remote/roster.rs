//! Which models servers run, and may do something.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cornjacket_store::{ListedModel, Mode, ModelId, Models, StoreError};

use super::served::Served;
use crate::detectors::{self, Made};

/// Models as they were last seen.
#[derive(Debug, Default)]
pub(crate) struct Roster(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Those that are not off: the ones that a server runs, and nothing of the others.
    models: HashMap<ModelId, Option<Arc<Served>>>,
    /// What follows from them; nothing before the first look.
    duties: Option<Duties>,
}

/// The models that servers run and that may do something, as a change left them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Duties {
    /// The last change that is certainly in it.
    pub head: u64,
    /// One for each model.
    pub all: Vec<Duty>,
}

/// A model that servers run, and what it may do.
#[derive(Clone, Debug)]
pub(crate) struct Duty {
    /// Which.
    pub served: Arc<Served>,
    /// What it may do, which is something.
    pub mode: Mode,
    /// The change before which it remembers nothing.
    pub since: u64,
}

impl Roster {
    /// How models are now. They are listed only when something has changed: this is asked before every batch of events.
    pub async fn now(&self, models: &dyn Models) -> Result<Duties, StoreError> {
        // Before the list, which may be newer then and is made again, but is never older.
        let head = models.last_change().await?;
        let known = self.known().duties.clone().filter(|known| known.head == head);
        match known {
            Some(duties) => Ok(duties),
            None => Ok(self.take(head, models.list().await?)),
        }
    }

    /// Takes in how models are now. One that is off is forgotten, and what was thought of its server with it.
    fn take(&self, head: u64, listed: Vec<ListedModel>) -> Duties {
        let mut known = self.known();
        let on = |id: &ModelId| listed.iter().any(|one| one.model.id == *id && one.mode != Mode::Off);
        known.models.retain(|id, _| on(id));
        let mut all = Vec::new();
        for one in listed.into_iter().filter(|one| one.mode != Mode::Off) {
            let (mode, since) = (one.mode, one.off);
            let served = match known.models.entry(one.model.id) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(served(one)),
            };
            all.extend(served.clone().map(|served| Duty { served, mode, since }));
        }
        known.duties.insert(Duties { head, all }).clone()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nothing of a model that runs here, or in no process of this version; of that the processor speaks.
fn served(listed: ListedModel) -> Option<Arc<Served>> {
    let draft = &listed.model.draft;
    match detectors::model(&draft.detector, &draft.parameters) {
        Ok(Made::Remote(remote)) => Some(Arc::new(Served::new(listed.model, *remote))),
        Ok(Made::Here(_)) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use async_trait::async_trait;
    use cornjacket_domain::{Partitions, SystemClock, Timestamp};
    use cornjacket_store::{Draft, Model, Options, Store};

    use super::*;

    fn listed(id: i32, detector: &str, mode: Mode, off: u64) -> ListedModel {
        let parameters = match detector {
            "remote" => detectors::Remote::example().to_string(),
            _ => r#"{"upper": 5.0}"#.to_owned(),
        };
        let draft = Draft {
            name: format!("m{id}"),
            detector: detector.into(),
            code: String::new(),
            subjects: "*".into(),
            metrics: "*".into(),
            parameters,
        };
        let model = Model { id: ModelId(id), version: 1, draft };
        ListedModel { model, mode, off, made_by: None, made_at: Timestamp::default() }
    }

    #[test]
    fn models_that_run_here_are_passed_over_and_those_that_were_off_are_new() {
        let roster = Roster::default();
        let all = |mode, off| {
            vec![
                listed(1, "remote", Mode::Active, 0),
                listed(2, "threshold", Mode::Active, 0),
                listed(3, "remote", mode, off),
                listed(4, "of another version", Mode::Active, 0),
            ]
        };
        let said = |duties: &Duties| -> Vec<_> {
            duties.all.iter().map(|duty| (duty.served.model.id.0, duty.mode, duty.since)).collect()
        };
        let (active, shadow) = (Mode::Active, Mode::Shadow);
        let first = roster.take(1, all(shadow, 0));
        assert_eq!(said(&first), [(1, active, 0), (3, shadow, 0)]);
        let switched = roster.take(2, all(active, 0));
        assert_eq!(said(&switched), [(1, active, 0), (3, active, 0)]);
        assert!(Arc::ptr_eq(&first.all[1].served, &switched.all[1].served));
        assert_eq!(said(&roster.take(9, all(Mode::Off, 9))), [(1, active, 0)]);
        let back = roster.take(10, all(active, 9));
        assert_eq!(said(&back), [(1, active, 0), (3, active, 9)]);
        assert!(!Arc::ptr_eq(&first.all[1].served, &back.all[1].served));
    }

    /// Models that count how often they are listed.
    #[derive(Debug)]
    struct Counted(Arc<dyn Models>, AtomicU32);

    #[async_trait]
    impl Models for Counted {
        async fn register(
            &self,
            draft: &Draft,
            mode: Mode,
            by: Option<&str>,
            now: Timestamp,
        ) -> Result<Model, StoreError> {
            self.0.register(draft, mode, by, now).await
        }
        async fn set_mode(
            &self,
            model: ModelId,
            mode: Mode,
            by: Option<&str>,
            now: Timestamp,
        ) -> Result<(), StoreError> {
            self.0.set_mode(model, mode, by, now).await
        }
        async fn last_change(&self) -> Result<u64, StoreError> {
            self.0.last_change().await
        }
        async fn list(&self) -> Result<Vec<ListedModel>, StoreError> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.list().await
        }
    }

    #[tokio::test]
    async fn models_are_listed_again_only_when_something_has_changed() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let url = format!("sqlite://{}", folder.path().join("cornjacket.db").display());
        let store = Store::open(&Options::new(url, Partitions::ONE), Arc::new(SystemClock)).await?;
        let (models, roster) = (Counted(store.models, AtomicU32::new(0)), Roster::default());
        let on_duty = async || anyhow::Ok(roster.now(&models).await?.all.len());
        assert_eq!((on_duty().await?, on_duty().await?), (0, 0));
        assert_eq!(models.1.load(Ordering::Relaxed), 1, "also when there is nobody");
        let draft = listed(1, "remote", Mode::Active, 0).model.draft;
        let model = models.register(&draft, Mode::Active, None, Timestamp::default()).await?;
        assert_eq!((on_duty().await?, on_duty().await?), (1, 1));
        assert_eq!(models.1.load(Ordering::Relaxed), 2);
        models.set_mode(model.id, Mode::Off, None, Timestamp::default()).await?;
        assert_eq!((on_duty().await?, on_duty().await?), (0, 0));
        assert_eq!(models.1.load(Ordering::Relaxed), 3);
        Ok(())
    }
}
