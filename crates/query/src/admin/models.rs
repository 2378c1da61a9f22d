//! `RegisterModel`, `SetModelMode` and `ListModels`: what series are watched with.

use std::fmt::Debug;

use cornjacket_domain::Caller;
use cornjacket_proto::admin::{
    Detector, ListModelsRequest, ListModelsResponse, Model, ModelMode, RegisterModelRequest,
    SetModelModeRequest,
};
use cornjacket_proto::json::to_struct;
use cornjacket_proto::status::Failure;
use cornjacket_store::{Draft, ListedModel, Mode};
use prost_types::Struct;
use tonic::Request;

use super::{Action, AdminRpc, drafts};
use crate::replays;
use crate::rpc::there::missing;
use crate::rpc::{invalid, required, store_failed};

/// What models can be made of, in the crate that this one does not see.
pub trait Detectors: Debug + Send + Sync {
    /// What is to be registered, with all parameters; or the field that is at fault and what is wrong with it. `series` are the
    /// patterns of subjects and metrics.
    fn draft(
        &self,
        name: &str,
        detector: &str,
        series: (&str, &str),
        parameters: &serde_json::Value,
    ) -> Result<Draft, (String, String)>;

    /// Name, version of the code and an example of its parameters of each.
    fn all(&self) -> Vec<(&'static str, &'static str, serde_json::Value)>;
}

pub(super) async fn register_model(
    rpc: &AdminRpc,
    request: Request<RegisterModelRequest>,
) -> Result<Model, Failure> {
    let caller = Caller::of(request.extensions())?;
    caller.authorize_everything()?;
    let model =
        request.into_inner().model.ok_or_else(|| invalid("model", "must not be empty", "REQUIRED"))?;
    let mode = mode("model.mode", model.mode)?;
    let listed = rpc.models.list().await.map_err(|error| store_failed(&error))?;
    let draft = drafts::draft(rpc.detectors.as_ref(), &listed, ("model", &model.name), &model)?;
    let Draft { detector, subjects, metrics, parameters, .. } = &draft;
    let detail = format!("{detector} {} {subjects} {metrics} {parameters}", mode.name());
    let action = Action { detail, ..Action::new(&caller, "register", format!("models/{}", draft.name)) };
    rpc.audit(&action).await?;
    // Somebody, even where nobody has a name: the settings are nobody.
    let (by, now) = (caller.name().unwrap_or("anyone"), rpc.clock.now());
    let model =
        rpc.models.register(&draft, mode, Some(by), now).await.map_err(|error| store_failed(&error))?;
    // One that was there already has the mode that is asked for now.
    rpc.models.set_mode(model.id, mode, Some(by), now).await.map_err(|error| store_failed(&error))?;
    let listed = rpc.models.list().await.map_err(|error| store_failed(&error))?;
    let registered = listed.into_iter().find(|one| one.model.id == model.id);
    let new = ListedModel { model, mode, off: 0, made_by: Some(by.to_owned()), made_at: now };
    Ok(to_proto(registered.unwrap_or(new)))
}

pub(super) async fn set_model_mode(
    rpc: &AdminRpc,
    request: Request<SetModelModeRequest>,
) -> Result<(), Failure> {
    let caller = Caller::of(request.extensions())?;
    caller.authorize_everything()?;
    let SetModelModeRequest { name, version, mode: wanted } = request.into_inner();
    required("name", &name)?;
    if wanted == i32::from(ModelMode::Unspecified) {
        return Err(invalid("mode", "must not be empty", "REQUIRED"));
    }
    let mode = mode("mode", wanted)?;
    let models = rpc.models.list().await.map_err(|error| store_failed(&error))?;
    if version == 0 {
        return Err(missing("version", "versions are counted from 1 on"));
    }
    let found = replays::find(&models, ("name", &name), ("version", version))?;
    let action = Action {
        detail: mode.name().to_owned(),
        ..Action::new(&caller, "set mode", format!("models/{name}/{version}"))
    };
    rpc.audit(&action).await?;
    let by = caller.name().unwrap_or("anyone");
    let set = rpc.models.set_mode(found.model.id, mode, Some(by), rpc.clock.now());
    set.await.map_err(|error| store_failed(&error))
}

pub(super) async fn list_models(
    rpc: &AdminRpc,
    request: Request<ListModelsRequest>,
) -> Result<ListModelsResponse, Failure> {
    // Patterns and parameters name what others have.
    Caller::of(request.extensions())?.authorize_everything()?;
    let name = request.into_inner().name;
    let models = rpc.models.list().await.map_err(|error| store_failed(&error))?;
    let models = models.into_iter().filter(|one| name.is_empty() || one.model.draft.name == name);
    let detector = |(name, version, example): (&str, &str, serde_json::Value)| Detector {
        name: name.to_owned(),
        version: version.to_owned(),
        example: parameters(&example.to_string()),
    };
    Ok(ListModelsResponse {
        models: models.map(to_proto).collect(),
        detectors: rpc.detectors.all().into_iter().map(detector).collect(),
    })
}

fn mode(field: &str, mode: i32) -> Result<Mode, Failure> {
    match ModelMode::try_from(mode) {
        Ok(ModelMode::Unspecified | ModelMode::Active) => Ok(Mode::Active),
        Ok(ModelMode::Shadow) => Ok(Mode::Shadow),
        Ok(ModelMode::Off) => Ok(Mode::Off),
        Err(_) => Err(invalid(field, "is no mode", "OUT_OF_RANGE")),
    }
}

fn to_proto(listed: ListedModel) -> Model {
    let mode = match listed.mode {
        Mode::Active => ModelMode::Active,
        Mode::Shadow => ModelMode::Shadow,
        Mode::Off => ModelMode::Off,
    };
    let draft = listed.model.draft;
    Model {
        name: draft.name,
        version: listed.model.version,
        detector: draft.detector,
        detector_version: draft.code,
        subjects: draft.subjects,
        metrics: draft.metrics,
        parameters: parameters(&draft.parameters),
        mode: mode.into(),
        created_by: listed.made_by.unwrap_or_default(),
        create_time: Some(listed.made_at.to_proto()),
    }
}

/// Nothing when it is no object: what was registered is one.
fn parameters(json: &str) -> Option<Struct> {
    to_struct(json).ok()
}
