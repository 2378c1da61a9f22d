//! A model on its way through the samples of a series, as the scorer has it go.

use cornjacket_domain::{Sample, SeriesKey};
use cornjacket_store::{Change, Control, Mode, Model, ModelId, SeriesId, Taken};

use super::Seen;
use crate::detectors::Feedback;
use crate::watched::Watcher;
use crate::watching::Watching;

/// After so many samples it is asked whether to go on.
const BETWEEN: usize = 256;

/// The changes to one model.
#[derive(Debug)]
pub(super) struct Course {
    model: ModelId,
    changes: Vec<Taken>,
}

impl Course {
    /// Active from the first sample on.
    pub fn anew(model: Model) -> Self {
        let id = model.id;
        let control = Control { seq: 1, model, change: Change::Mode(Mode::Active) };
        Self { model: id, changes: vec![Taken { after_position: 0, control }] }
    }

    /// As its shard had it.
    pub fn as_it_ran(model: ModelId, mut taken: Vec<Taken>) -> Self {
        taken.retain(|one| one.control.model.id == model);
        Self { model, changes: taken }
    }

    /// Goes over samples, which are in the order of their positions. Nothing when it was cut off.
    pub fn run(
        &self,
        (series, key): (SeriesId, &SeriesKey),
        samples: &[Sample],
        goes_on: &dyn Fn() -> bool,
        tell: &mut dyn FnMut(Seen),
    ) -> Option<()> {
        let mut changes = self.changes.iter().peekable();
        let mut going = Going { model: self.model, watching: Watching::default(), watcher: None };
        for (index, sample) in samples.iter().enumerate() {
            if index % BETWEEN == 0 && !goes_on() {
                return None;
            }
            while let Some(taken) = changes.next_if(|taken| taken.after_position < sample.position) {
                going.take(series, &taken.control);
            }
            if let Some(seen) = going.observe(key, sample) {
                tell(seen);
            }
        }
        Some(())
    }
}

/// What watches at some place of the way.
struct Going {
    model: ModelId,
    watching: Watching,
    watcher: Option<Watcher>,
}

impl Going {
    fn take(&mut self, series: SeriesId, control: &Control) {
        self.watching.take(control);
        let feedback = match control.change {
            Change::FalseAlarm(of) if of == series => Feedback::FalseAlarm,
            Change::Missed(of) if of == series => Feedback::Missed,
            _ => return,
        };
        // A detector that is no longer in force, or that has seen nothing yet, does not hear it.
        let Some(model) = self.watching.get(self.model) else { return };
        if let Some(watcher) = self.watcher.as_mut().filter(|watcher| watcher.is_of(&model)) {
            watcher.learn(feedback);
        }
    }

    /// Nothing while the model does not watch the series.
    fn observe(&mut self, key: &SeriesKey, sample: &Sample) -> Option<Seen> {
        let model = self.watching.of(key).find(|model| model.model.id == self.model)?.clone();
        let watcher = self.watcher.take().filter(|watcher| watcher.is_of(&model));
        let watcher = self.watcher.insert(watcher.unwrap_or_else(|| Watcher::start(model, key)));
        let verdict = watcher.observe(sample);
        Some(Seen { sample: *sample, verdict, is_active: self.watching.is_active(self.model) })
    }
}
