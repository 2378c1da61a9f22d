//! What a backtest is asked to run, and with what it is compared.

use std::collections::HashMap;

use cornjacket_domain::{Caller, Patterns, SeriesKey, Timestamp};
use cornjacket_proto::admin::{self, BacktestRequest};
use cornjacket_proto::status::Failure;
use cornjacket_store::{Draft, ListedModel, Mode, Model, ModelId};

use crate::admin::{AdminRpc, drafts};
use crate::replays::{self, Playable};
use crate::rpc::list_events::authorize_filter;
use crate::rpc::{invalid, printable, store_failed};

/// What a draft is called that has no name: what is random in a detector follows from it.
const DRAFT: &str = "draft";

/// Models by their ids, as NAME and version.
pub(super) type Names = HashMap<ModelId, (String, u32)>;

/// What is run.
#[derive(Debug)]
pub(super) struct Asked {
    pub model: Model,
    pub is_registered: bool,
    /// With what these sent it is compared.
    pub compared: Vec<ModelId>,
    /// What models are called.
    pub names: Names,
    /// The version of the code that runs.
    pub code: String,
    /// What makes it other than it was.
    pub notes: Vec<String>,
    /// Pairs of patterns that subjects and metrics must both match.
    patterns: Vec<(Patterns, Patterns)>,
    /// Subjects and metrics that the request names, which are no patterns.
    named: Vec<Named>,
}

/// What a request names.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub field: &'static str,
    pub name: String,
    pub is_subject: bool,
}

impl Named {
    /// What is no pattern, of those fields.
    fn of(fields: &[(&'static str, &String, bool)]) -> Vec<Self> {
        let plain = fields.iter().filter(|(_, name, _)| !name.is_empty() && !name.contains('*'));
        let named = |&(field, name, is_subject): &(&'static str, &String, bool)| Self {
            field,
            name: name.clone(),
            is_subject,
        };
        plain.map(named).collect()
    }

    /// Whether a series has that name.
    pub fn is_of(&self, key: &SeriesKey) -> bool {
        self.name == if self.is_subject { key.subject.as_str() } else { key.metric.as_str() }
    }
}

impl Asked {
    /// By a request. What a caller asks for by name must be the caller's to see.
    pub async fn of(
        rpc: &AdminRpc,
        caller: &Caller,
        request: &BacktestRequest,
        oldest: Timestamp,
    ) -> Result<Self, Failure> {
        let draft = request.draft.as_ref();
        let within = [
            ("subjects", "metrics", &request.subjects, &request.metrics),
            draft.map_or(("", "", &String::new(), &String::new()), |draft| {
                ("draft.subjects", "draft.metrics", &draft.subjects, &draft.metrics)
            }),
        ]
        .map(|(subjects_at, metrics_at, subjects, metrics)| {
            printable(subjects_at, subjects)?;
            printable(metrics_at, metrics)?;
            if !subjects.contains('*') {
                authorize_filter(caller, subjects)?;
            }
            Ok::<_, Failure>((pattern(subjects), pattern(metrics)))
        });
        let none = String::new();
        let of_draft = |text: fn(&admin::Model) -> &String| draft.map_or(&none, text);
        let named = Named::of(&[
            ("subjects", &request.subjects, true),
            ("metrics", &request.metrics, false),
            ("draft.subjects", of_draft(|draft| &draft.subjects), true),
            ("draft.metrics", of_draft(|draft| &draft.metrics), false),
        ]);
        let [request_patterns, draft_patterns] = within;
        let mut patterns = vec![request_patterns?, draft_patterns?];
        let listed = rpc.models.list().await.map_err(|error| store_failed(&error))?;
        let (model, registered) = model(rpc, &listed, request)?;
        patterns.push((pattern(&model.draft.subjects), pattern(&model.draft.metrics)));
        let code = replays::code(rpc.detectors.as_ref(), &model.draft.detector);
        let asks_a_server = |draft: &Draft| matches!(rpc.replays.playable(draft), Ok(Playable::Nothing));
        let (compared, left_out) = compared(&listed, request, &model.draft.name, &asks_a_server)?;
        let notes = registered.map(|one| notes(one, &code, oldest)).unwrap_or_default();
        Ok(Self {
            notes: notes.into_iter().chain(left_out).collect(),
            is_registered: registered.is_some(),
            compared,
            names: listed
                .iter()
                .map(|one| (one.model.id, (one.model.draft.name.clone(), one.model.version)))
                .collect(),
            code,
            patterns,
            named,
            model,
        })
    }

    /// Whether a series is gone over.
    pub fn watches(&self, key: &SeriesKey) -> bool {
        self.patterns
            .iter()
            .all(|(subjects, metrics)| subjects.allow(&key.subject) && metrics.allow(&key.metric))
    }

    /// What the request names that may not be there.
    pub fn named(&self) -> Vec<Named> {
        self.named.clone()
    }

    /// The field with which fewer samples would be read of a series.
    pub const fn narrower(&self) -> &'static str {
        // A registered model goes over all that is stored.
        if self.is_registered { "subjects" } else { "start_time" }
    }

    /// With what it is compared, as NAME/VERSION.
    pub fn compared_names(&self) -> Vec<String> {
        let names = self.compared.iter().filter_map(|id| self.names.get(id));
        names.map(|(name, version)| format!("{name}/{version}")).collect()
    }
}

fn pattern(text: &str) -> Patterns {
    if text.is_empty() { Patterns::All } else { Patterns::Any(vec![text.to_owned()]) }
}

/// The model, and how it is listed when it is registered.
fn model<'a>(
    rpc: &AdminRpc,
    listed: &'a [ListedModel],
    request: &BacktestRequest,
) -> Result<(Model, Option<&'a ListedModel>), Failure> {
    match (&request.draft, request.model.as_str()) {
        (None, "") => Err(invalid("draft", "must not be empty without a model", "REQUIRED")),
        (Some(_), name) if !name.is_empty() => {
            Err(invalid("draft", "must not be given beside a model", "MISMATCH"))
        }
        (Some(_), _) if request.version != 0 => Err(invalid("version", "needs a model", "MISMATCH")),
        (Some(draft), _) => Ok((drafted(rpc, listed, draft)?, None)),
        (None, name) => {
            let found = replays::find(listed, ("model", name), ("version", request.version))?;
            replays::require(rpc.replays.as_ref(), ("model", &found.model.draft), false)?;
            Ok((found.model.clone(), Some(found)))
        }
    }
}

fn drafted(rpc: &AdminRpc, listed: &[ListedModel], model: &admin::Model) -> Result<Model, Failure> {
    let name = if model.name.is_empty() { DRAFT } else { &model.name };
    let draft = drafts::draft(rpc.detectors.as_ref(), listed, ("draft", name), model)?;
    replays::require(rpc.replays.as_ref(), ("draft", &draft), false)?;
    Ok(Model { id: ModelId(0), version: 0, draft })
}

/// What makes a registered model's replay other than its run was.
fn notes(listed: &ListedModel, code: &str, oldest: Timestamp) -> Vec<String> {
    let registered_with = &listed.model.draft.code;
    let other_code = (registered_with != code).then(|| {
        format!(
            "version {code} of the detector's code was run; the model was registered with {registered_with}"
        )
    });
    let forgotten = (listed.made_at < oldest).then(|| {
        let oldest = oldest.to_proto();
        format!("samples from before {oldest} are no longer stored: what the model had learned from them it did not know")
    });
    other_code.into_iter().chain(forgotten).collect()
}

/// What runs now: the model that is named, the active version of that name, or all that are active. Those that ask a server are
/// left out, and a note says so: which of its findings such a model sent is not known.
fn compared(
    listed: &[ListedModel],
    request: &BacktestRequest,
    name: &str,
    asks_a_server: &dyn Fn(&Draft) -> bool,
) -> Result<(Vec<ModelId>, Option<String>), Failure> {
    if request.compare_to.is_empty() && request.compare_version != 0 {
        return Err(invalid("compare_version", "needs compare_to", "MISMATCH"));
    }
    let named = match request.compare_to.as_str() {
        "" => listed.iter().find(|one| one.mode == Mode::Active && one.model.draft.name == name),
        name => {
            let version = ("compare_version", request.compare_version);
            Some(replays::find(listed, ("compare_to", name), version)?)
        }
    };
    let all = || listed.iter().filter(|one| one.mode == Mode::Active).collect();
    let wanted: Vec<&ListedModel> = named.map_or_else(all, |one| vec![one]);
    let (left_out, compared): (Vec<&ListedModel>, Vec<_>) =
        wanted.into_iter().partition(|one| asks_a_server(&one.model.draft));
    let versions = left_out.iter().map(|one| format!("{}/{}", one.model.draft.name, one.model.version));
    let versions: Vec<String> = versions.collect();
    let note = (!versions.is_empty()).then(|| {
        let versions = versions.join(", ");
        format!(
            "what {versions} sent is left out: a server is asked, and where that was switched is not noted"
        )
    });
    Ok((compared.iter().map(|one| one.model.id).collect(), note))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(id: i32, name: &str, detector: &str, mode: Mode) -> ListedModel {
        let draft = Draft {
            name: name.into(),
            detector: detector.into(),
            code: String::new(),
            subjects: "*".into(),
            metrics: "*".into(),
            parameters: "{}".into(),
        };
        let model = Model { id: ModelId(id), version: 1, draft };
        ListedModel { model, mode, off: 0, made_by: None, made_at: Timestamp::default() }
    }

    #[test]
    fn what_is_compared_is_what_runs_now_but_for_what_asks_a_server() {
        let models = [
            listed(1, "hot", "threshold", Mode::Active),
            listed(2, "wear", "remote", Mode::Active),
            listed(3, "new", "remote", Mode::Shadow),
            listed(4, "fast", "rate_of_change", Mode::Active),
        ];
        let is_remote = |draft: &Draft| draft.detector == "remote";
        let of = |compare_to: &str, name: &str| {
            let request = BacktestRequest { compare_to: compare_to.into(), ..BacktestRequest::default() };
            let (compared, note) = compared(&models, &request, name, &is_remote).expect("it is known");
            (compared.into_iter().map(|id| id.0).collect::<Vec<_>>(), note)
        };
        assert_eq!(of("", "hot"), (vec![1], None), "the active version of that name");
        let (everybody, note) = of("", "draft");
        assert_eq!(everybody, [1, 4]);
        assert!(note.is_some_and(|note| note.starts_with("what wear/1 sent is left out")));
        let (nobody, note) = of("wear", "draft");
        assert!(nobody.is_empty() && note.is_some(), "nor when it is asked for by name");
        let (nobody, note) = of("", "wear");
        assert!(nobody.is_empty() && note.is_some(), "or has that name");
        assert_eq!(of("fast", "wear"), (vec![4], None));
    }
}
