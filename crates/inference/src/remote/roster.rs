//! Which models servers run, and may do something.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use cornjacket_store::{ListedModel, Mode, ModelId};

use super::served::Served;
use crate::detectors::{self, Made};

/// Those models that are not off, as they were last seen: the ones that a server runs, and nothing of the others.
#[derive(Debug, Default)]
pub(crate) struct Roster(Mutex<HashMap<ModelId, Option<Arc<Served>>>>);

/// A model that servers run, and what it may do.
#[derive(Clone, Debug)]
pub(crate) struct Duty {
    /// Which.
    pub served: Arc<Served>,
    /// Whether what it finds is an event.
    pub is_active: bool,
    /// The change before which it remembers nothing.
    pub since: u64,
}

impl Roster {
    /// Takes in how models are now: those that servers run and that may do something. One that is off is forgotten, and what
    /// was thought of its server with it.
    pub fn take(&self, listed: Vec<ListedModel>) -> Vec<Duty> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let on = |id: &ModelId| listed.iter().any(|one| one.model.id == *id && one.mode != Mode::Off);
        known.retain(|id, _| on(id));
        let mut duties = Vec::new();
        for one in listed.into_iter().filter(|one| one.mode != Mode::Off) {
            let (is_active, since) = (one.mode == Mode::Active, one.off);
            let served = match known.entry(one.model.id) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(served(one)),
            };
            duties.extend(served.clone().map(|served| Duty { served, is_active, since }));
        }
        duties
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
    use cornjacket_domain::Timestamp;
    use cornjacket_store::{Draft, Model};

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
        let said = |duties: &[Duty]| -> Vec<_> {
            duties.iter().map(|duty| (duty.served.model.id.0, duty.is_active, duty.since)).collect()
        };
        let first = roster.take(all(Mode::Shadow, 0));
        assert_eq!(said(&first), [(1, true, 0), (3, false, 0)]);
        let switched = roster.take(all(Mode::Active, 0));
        assert_eq!(said(&switched), [(1, true, 0), (3, true, 0)]);
        assert!(Arc::ptr_eq(&first[1].served, &switched[1].served));
        assert_eq!(said(&roster.take(all(Mode::Off, 9))), [(1, true, 0)]);
        let back = roster.take(all(Mode::Active, 9));
        assert_eq!(said(&back), [(1, true, 0), (3, true, 9)]);
        assert!(!Arc::ptr_eq(&first[1].served, &back[1].served));
    }
}
