//! `ExportDevices`: hashes of passwords, for brokers that are not ours.

use cornjacket_domain::Caller;
use cornjacket_proto::admin::{DeviceCredentials, ExportDevicesRequest, ExportDevicesResponse};
use cornjacket_proto::status::Failure;
use tonic::Request;

use super::list_devices::page_of;
use super::{Action, AdminRpc};

pub(super) async fn export_devices(
    rpc: &AdminRpc,
    request: Request<ExportDevicesRequest>,
) -> Result<ExportDevicesResponse, Failure> {
    let caller = Caller::of(request.extensions())?;
    caller.authorize_everything()?;
    let ExportDevicesRequest { page_size, page_token } = request.into_inner();
    // It changes nothing, but operators want to know who has the hashes.
    rpc.audit(&Action::new(&caller, "export", "devices".to_owned())).await?;
    let (devices, next_page_token) = page_of(rpc, page_size, &page_token, |_| true).await?;
    let devices = devices.into_iter().map(|device| DeviceCredentials {
        name: device.name,
        salt: device.password.salt,
        iterations: device.password.iterations,
        hash: device.password.hash.into(),
    });
    Ok(ExportDevicesResponse { devices: devices.collect(), next_page_token })
}
