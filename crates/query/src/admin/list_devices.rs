//! `ListDevices`: who may connect, page by page.

use cornjacket_proto::admin::{ListDevicesRequest, ListDevicesResponse};
use cornjacket_proto::status::Failure;
use tonic::Request;

use super::AdminRpc;
use super::add_device::{authorize, to_proto};
use crate::page::{self, Cursor};
use crate::rpc::{caller, store_failed};

pub(super) async fn list_devices(
    rpc: &AdminRpc,
    request: Request<ListDevicesRequest>,
) -> Result<ListDevicesResponse, Failure> {
    let caller = caller(&request);
    let ListDevicesRequest { page_size, page_token } = request.into_inner();
    let (devices, next_page_token) = page_of(rpc, page_size, &page_token).await?;
    let devices = devices.into_iter().filter(|device| authorize(&caller, &device.name).is_ok());
    Ok(ListDevicesResponse { devices: devices.map(to_proto).collect(), next_page_token })
}

/// A page of devices, and the token that leads on from it.
pub(super) async fn page_of(
    rpc: &AdminRpc,
    page_size: i32,
    page_token: &str,
) -> Result<(Vec<cornjacket_store::Device>, String), Failure> {
    let (size, cursor) = (page::size(page_size)?, Cursor::of("devices"));
    let after = cursor.read::<String>(page_token)?.unwrap_or_default();
    let devices = rpc.devices.list(&after, size).await.map_err(|error| store_failed(&error))?;
    let last = devices.last().filter(|_| devices.len() == size as usize);
    let next = last.map(|last| cursor.write(&last.name)).unwrap_or_default();
    Ok((devices, next))
}
