//! `ListProjections`: what there is to be asked for.

use cornjacket_domain::Topic;
use cornjacket_proto::query::{ListProjectionsResponse, Projection};

use crate::projections::{ALL, Declared};

pub(super) fn list_projections() -> ListProjectionsResponse {
    ListProjectionsResponse { projections: ALL.iter().map(describe).collect() }
}

fn describe(projection: &Declared) -> Projection {
    Projection {
        name: projection.id.name.to_owned(),
        version: projection.id.version.into(),
        types: projection.types().map(std::string::ToString::to_string).collect(),
        topics: projection.topics().into_iter().map(Topic::name).map(str::to_owned).collect(),
    }
}
