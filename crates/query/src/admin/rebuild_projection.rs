//! `RebuildProjection`: a projection's states anew, while those that there are go on answering.

use cornjacket_domain::Caller;
use cornjacket_proto::admin::{RebuildProjectionRequest, RebuildProjectionResponse};
use cornjacket_proto::status::{ErrorKind, Failure};
use futures::stream::BoxStream;
use futures::{SinkExt, StreamExt};
use tonic::{Request, Status};

use super::{Action, AdminRpc};
use crate::projections;
use crate::rebuild::{Progress, Rebuild, RebuildError};
use crate::rpc::{required, store_failed};

pub(super) type Progresses = BoxStream<'static, Result<RebuildProjectionResponse, Status>>;

/// Messages that may wait for a slow caller; those beyond are left out.
const WAITING: usize = 16;

pub(super) async fn rebuild_projection(
    rpc: &AdminRpc,
    request: Request<RebuildProjectionRequest>,
) -> Result<Progresses, Failure> {
    let caller = Caller::of(request.extensions())?;
    caller.authorize_everything()?;
    let name = request.into_inner().projection;
    required("projection", &name)?;
    let projection = projections::by_name(&name)
        .ok_or_else(|| Failure::new(ErrorKind::NotFound, format!("there is no projection {name:?}")))?;
    let resource = format!("projections/{name}");
    rpc.audit(&Action::new(&caller, "rebuild", resource)).await?;
    let rebuild = Rebuild {
        projection,
        parameters: rpc.parameters,
        log: rpc.log.clone(),
        rebuilds: rpc.rebuilds.clone(),
        partitions: rpc.partitions,
    };
    let (sender, receiver) = futures::channel::mpsc::channel(WAITING);
    // It runs as long as somebody listens: who hangs up gives it up.
    let run = async move {
        let mut last = sender.clone();
        let tell = |progress: Progress| {
            let message = Ok(RebuildProjectionResponse {
                build: progress.build,
                position: progress.position,
                until_position: progress.until,
                live: false,
            });
            // Full, or nobody there any more: the stream's end is where that matters.
            drop(sender.clone().try_send(message));
        };
        let end = match rebuild.run(tell).await {
            Ok(build) => {
                tracing::info!(projection = name, build, "projection rebuilt");
                Ok(RebuildProjectionResponse { build, live: true, ..Default::default() })
            }
            Err(error) => Err(Status::from(told(&name, &error))),
        };
        drop(last.send(end).await);
    };
    let progress = futures::stream::once(run).filter_map(|()| async { None });
    Ok(futures::stream::select(receiver, progress).boxed())
}

fn told(name: &str, error: &RebuildError) -> Failure {
    match error {
        RebuildError::Store(error) => store_failed(error),
        RebuildError::Overtaken => Failure::new(ErrorKind::FailedPrecondition, error.to_string()),
        RebuildError::Unfoldable(said) => {
            Failure::new(ErrorKind::FailedPrecondition, format!("{name} cannot be rebuilt: {said}"))
        }
    }
}
