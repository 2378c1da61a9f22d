//! `RevokeDevice`: a device that may connect no more.

use cornjacket_domain::Caller;
use cornjacket_proto::admin::RevokeDeviceRequest;
use cornjacket_proto::status::{ErrorKind, Failure};
use tonic::Request;

use super::add_device::{authorize, name_of};
use super::{Action, AdminRpc};
use crate::rpc::store_failed;

pub(super) async fn revoke_device(
    rpc: &AdminRpc,
    request: Request<RevokeDeviceRequest>,
) -> Result<(), Failure> {
    let caller = Caller::of(request.extensions())?;
    let name = name_of(request.into_inner().name)?;
    authorize(&caller, &name)?;
    let missing = || Failure::new(ErrorKind::NotFound, format!("there is no device {name:?}"));
    if rpc.devices.find(&name).await.map_err(|error| store_failed(&error))?.is_none() {
        return Err(missing());
    }
    rpc.audit(&Action::new(&caller, "revoke", format!("devices/{name}"))).await?;
    let revoked = rpc.devices.revoke(&name).await.map_err(|error| store_failed(&error))?;
    if revoked { Ok(()) } else { Err(missing()) }
}
