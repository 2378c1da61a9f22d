//! What callers say of models that are to be made.

use cornjacket_proto::admin::Model;
use cornjacket_proto::json::from_struct;
use cornjacket_proto::status::Failure;
use cornjacket_store::{Draft, ListedModel};

use super::Detectors;
use crate::rpc::invalid_as;

/// Every series.
const ALL: &str = "*";

/// The draft that a message describes under that name; `field` is where the message was. What it does not say of the series
/// is as it was in the newest version of that name.
pub(super) fn draft(
    detectors: &dyn Detectors,
    listed: &[ListedModel],
    (field, name): (&str, &str),
    model: &Model,
) -> Result<Draft, Failure> {
    let parameters = from_struct(model.parameters.clone().unwrap_or_default());
    let (subjects, metrics) = scope(listed, name, (&model.subjects, &model.metrics));
    let drafted = detectors.draft(name, &model.detector, (subjects, metrics), &parameters);
    drafted.map_err(|(at, problem)| invalid_as(&format!("{field}.{at}"), &problem, "INVALID"))
}

/// The subjects and metrics that are said, those of the newest version of the name where nothing is, and else all.
fn scope<'a>(
    listed: &'a [ListedModel],
    name: &str,
    (subjects, metrics): (&'a str, &'a str),
) -> (&'a str, &'a str) {
    let versions = listed.iter().map(|one| &one.model).filter(|model| model.draft.name == name);
    let newest = versions.max_by_key(|model| model.version).map(|model| &model.draft);
    let or = |said: &'a str, before: Option<&'a String>| match said {
        "" => before.map_or(ALL, String::as_str),
        said => said,
    };
    (or(subjects, newest.map(|draft| &draft.subjects)), or(metrics, newest.map(|draft| &draft.metrics)))
}

#[cfg(test)]
mod tests {
    use cornjacket_domain::Timestamp;
    use cornjacket_store::{Mode, ModelId};

    use super::*;

    fn version(name: &str, version: u32, subjects: &str, metrics: &str) -> ListedModel {
        let draft = Draft {
            name: name.into(),
            detector: "threshold".into(),
            code: "1".into(),
            subjects: subjects.into(),
            metrics: metrics.into(),
            parameters: "{}".into(),
        };
        let model = cornjacket_store::Model { id: ModelId(0), version, draft };
        ListedModel { model, mode: Mode::Off, off: 0, made_by: None, made_at: Timestamp::default() }
    }

    #[test]
    fn what_is_not_said_of_the_series_is_as_in_the_newest_version() {
        let listed = [
            version("cold", 9, "fan-*", "current"),
            version("hot", 2, "pump-*", "temperature"),
            version("hot", 1, "pump-7", "pressure"),
        ];
        assert_eq!(scope(&listed, "hot", ("", "")), ("pump-*", "temperature"));
        assert_eq!(scope(&listed, "hot", ("*", "")), ("*", "temperature"));
        assert_eq!(scope(&listed, "hot", ("", "vibration")), ("pump-*", "vibration"));
        assert_eq!(scope(&listed, "new", ("", "")), ("*", "*"));
        assert_eq!(scope(&listed, "new", ("", "vibration")), ("*", "vibration"));
    }
}
