//! `ListProjections`: what there is to be asked for.

use cornjacket_domain::Topic;
use cornjacket_proto::query::{ListProjectionsResponse, Projection};
use cornjacket_proto::status::Failure;
use cornjacket_store::Built;

use super::{QueryRpc, store_failed};
use crate::projections::{ALL, Declared};

pub(super) async fn list_projections(rpc: &QueryRpc) -> Result<ListProjectionsResponse, Failure> {
    let built = rpc.rebuilds.list().await.map_err(|error| store_failed(&error))?;
    Ok(ListProjectionsResponse { projections: ALL.iter().map(|one| describe(one, &built)).collect() })
}

/// One that no projector has made known yet has no version and no build.
fn describe(projection: &Declared, built: &[Built]) -> Projection {
    let built = built.iter().find(|built| built.projection == projection.id.name);
    Projection {
        name: projection.id.name.to_owned(),
        version: built.map_or(0, |built| built.fold.into()),
        types: projection.types().map(ToString::to_string).collect(),
        topics: projection.topics().into_iter().map(Topic::name).map(str::to_owned).collect(),
        build: built.map_or(0, |built| built.build),
    }
}
