//! `ListDevices`: who may connect, page by page.

use cornjacket_domain::Caller;
use cornjacket_proto::admin::{ListDevicesRequest, ListDevicesResponse};
use cornjacket_proto::status::Failure;
use cornjacket_store::Device;
use tonic::Request;

use super::AdminRpc;
use super::add_device::{authorize, to_proto};
use crate::rpc::store_failed;
use cornjacket_domain::page::{self, Cursor};

/// Devices that are looked at in one go.
const AT_ONCE: u32 = 1_000;

pub(super) async fn list_devices(
    rpc: &AdminRpc,
    request: Request<ListDevicesRequest>,
) -> Result<ListDevicesResponse, Failure> {
    let caller = Caller::of(request.extensions())?;
    let ListDevicesRequest { page_size, page_token } = request.into_inner();
    let allowed = |device: &Device| authorize(&caller, &device.name).is_ok();
    let (devices, next_page_token) = page_of(rpc, page_size, &page_token, allowed).await?;
    Ok(ListDevicesResponse { devices: devices.into_iter().map(to_proto).collect(), next_page_token })
}

/// A page of the devices that are allowed, and the token that leads on from it: that names the last of them, and nobody
/// else's.
pub(super) async fn page_of(
    rpc: &AdminRpc,
    page_size: i32,
    page_token: &str,
    allowed: impl Fn(&Device) -> bool,
) -> Result<(Vec<Device>, String), Failure> {
    let (size, cursor) = (page::size(page_size)?, Cursor::of("devices"));
    let mut after = cursor.read::<String>(page_token)?.unwrap_or_default();
    let mut found = Vec::new();
    loop {
        let devices = rpc.devices.list(&after, AT_ONCE).await.map_err(|error| store_failed(&error))?;
        let is_last = devices.len() < AT_ONCE as usize;
        for device in devices {
            after.clone_from(&device.name);
            found.extend(Some(device).filter(&allowed));
            if found.len() == size as usize {
                return Ok((found, cursor.write(&after)));
            }
        }
        if is_last {
            return Ok((found, String::new()));
        }
    }
}
