//! Silences: made, listed and ended.

use cornjacket_domain::Invalid;
use cornjacket_proto::actions::{
    CreateSilenceRequest, EndSilenceRequest, ListSilencesRequest, ListSilencesResponse, Silence,
};
use cornjacket_proto::status::{ErrorKind, Failure};
use cornjacket_store::audit::Action;
use cornjacket_store::{Definition, DefinitionKind, Definitions};
use prost::Message as _;
use tonic::Request;

use super::definitions::{Change, Changing, found, is_new, page};
use super::{ActionRpc, caller_of, required};
use crate::silences;

const SILENCE: DefinitionKind = DefinitionKind::Silence;

pub(super) async fn create(
    rpc: &ActionRpc,
    request: Request<CreateSilenceRequest>,
) -> Result<Silence, Failure> {
    let caller = caller_of(&request)?;
    let silence = request.into_inner().silence;
    let silence = silence.ok_or_else(|| Failure::invalid("silence", "must not be empty", "REQUIRED"))?;
    let now = rpc.clock.now();
    silences::Silence::try_new(&silence, now)
        .map_err(|violations| Invalid::Fields(violations).into_failure("silence"))?;
    let start_time = silence.start_time.or_else(|| Some(now.to_proto()));
    let kept = Silence { author: String::new(), create_time: None, start_time, ..silence };
    let detail = kept.comment.clone();
    let action = Action { detail, ..Action::new(&caller, "create", format!("silences/{}", kept.name)) };
    let changing = Changing { kind: SILENCE, name: &kept.name, action };
    let change = |seen: &Definitions| {
        is_new(seen, SILENCE, &kept.name)?;
        Ok(Change::to(kept.encode_to_vec()))
    };
    to_proto(found(&rpc.change(&changing, change).await?, SILENCE, &kept.name)?)
}

pub(super) async fn list(
    rpc: &ActionRpc,
    request: Request<ListSilencesRequest>,
) -> Result<ListSilencesResponse, Failure> {
    caller_of(&request)?;
    let ListSilencesRequest { page_size, page_token } = request.into_inner();
    let (found, next_page_token) = page(&rpc.defined().await?, SILENCE, page_size, &page_token)?;
    let silences = found.iter().map(to_proto).collect::<Result<_, _>>()?;
    Ok(ListSilencesResponse { silences, next_page_token })
}

pub(super) async fn end(rpc: &ActionRpc, request: Request<EndSilenceRequest>) -> Result<Silence, Failure> {
    let caller = caller_of(&request)?;
    let name = request.into_inner().name;
    required("name", &name)?;
    let before = to_proto(found(&rpc.defined().await?, SILENCE, &name)?)?;
    let now = rpc.clock.now().to_proto();
    let is_over = |silence: &Silence| {
        silence.end_time.is_some_and(|end| (end.seconds, end.nanos) <= (now.seconds, now.nanos))
    };
    if is_over(&before) {
        return Ok(before);
    }
    let action = Action::new(&caller, "end", format!("silences/{name}"));
    let changing = Changing { kind: SILENCE, name: &name, action };
    let change = |seen: &Definitions| {
        let silence = decode(found(seen, SILENCE, &name)?)?;
        // One that was to begin later never was.
        let start =
            silence.start_time.filter(|start| (start.seconds, start.nanos) < (now.seconds, now.nanos));
        let start_time =
            start.or(Some(prost_types::Timestamp { seconds: now.seconds - 1, nanos: now.nanos }));
        Ok(Change::to(Silence { start_time, end_time: Some(now), ..silence }.encode_to_vec()))
    };
    to_proto(found(&rpc.change(&changing, change).await?, SILENCE, &name)?)
}

fn decode(definition: &Definition) -> Result<Silence, Failure> {
    Silence::decode(definition.bytes.as_slice()).map_err(|error| {
        tracing::error!(%error, silence = definition.name, "a silence that is kept does not decode");
        Failure::new(ErrorKind::Internal, "the silence that is kept does not decode")
    })
}

fn to_proto(definition: &Definition) -> Result<Silence, Failure> {
    Ok(Silence {
        author: definition.made.by.clone().unwrap_or_default(),
        create_time: Some(definition.made.at.to_proto()),
        ..decode(definition)?
    })
}
