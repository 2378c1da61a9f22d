//! Whether what a request names is there; what is not is named by its field.

use cornjacket_domain::{SeriesKey, Timestamp};
use cornjacket_proto::status::{ErrorKind, Failure};
use cornjacket_store::{SeriesFilter, SeriesId, Snapshot};

use super::{store_failed, violation};

/// What a caller is told when a field names what there is not.
pub(crate) fn missing(field: &str, description: &str) -> Failure {
    let failure = Failure::new(ErrorKind::NotFound, format!("{field}: {description}"));
    failure.with_violations(vec![violation(field, description, "NOT_FOUND")])
}

/// The series of a key, with its unit. `fields` are those of its subject and its metric; `oldest` is what samples are kept from.
pub(crate) async fn find_series(
    snapshot: &mut dyn Snapshot,
    key: &SeriesKey,
    (subject_field, metric_field): (&str, &str),
    oldest: Timestamp,
) -> Result<(SeriesId, String), Failure> {
    let found = snapshot.find_series(key).await.map_err(|error| store_failed(&error))?;
    let SeriesKey { subject, metric } = key;
    match found {
        Some(found) => Ok(found),
        None if has_series(snapshot, subject, oldest).await? => {
            Err(missing(metric_field, &format!("there is no series {metric:?} of {subject:?}")))
        }
        None => Err(missing(subject_field, &format!("there is no series of {subject:?}"))),
    }
}

/// Whether a subject has any series.
pub(super) async fn has_series(
    snapshot: &mut dyn Snapshot,
    subject: &str,
    oldest: Timestamp,
) -> Result<bool, Failure> {
    let filter = SeriesFilter { subject: Some(subject), since: oldest, after: None, limit: 1 };
    let listed = snapshot.list_series(&filter).await.map_err(|error| store_failed(&error))?;
    Ok(!listed.is_empty())
}
