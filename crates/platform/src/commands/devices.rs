//! `cornjacket devices`: accounts of devices, here and for brokers that are not ours.

mod export;

use std::io::Read;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use cornjacket_proto::admin::{
    AddDeviceRequest, Device, ExportDevicesRequest, ListDevicesRequest, RevokeDeviceRequest,
};

use super::client::{Server, told};
use super::table;
use crate::config::Settings;
use crate::telemetry;

/// Flags of `cornjacket devices`.
#[derive(Debug, Args)]
pub struct Devices {
    #[command(flatten)]
    server: Server,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Add a device, and print its password: this once, and on standard output alone.
    Add {
        /// The device's name: its user name, and the subject of its events.
        name: String,
        /// `-`: the password is read from standard input. It is made when this is not given.
        #[arg(long, value_name = "-", value_parser = ["-"])]
        password: Option<String>,
    },
    /// Remove a device. What it is connected to here is cut; other brokers need another export.
    Revoke {
        /// The device's name.
        name: String,
    },
    /// List the devices.
    List,
    /// Write what another broker needs to let the devices in.
    Export(Target),
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// A folder that gets Mosquitto's `passwords` and `acl`.
    #[arg(long, value_name = "FOLDER")]
    mosquitto: Option<PathBuf>,
    /// A file that EMQX's built-in database begins with (`bootstrap_file`, `bootstrap_type = hash`).
    #[arg(long, value_name = "FILE")]
    emqx: Option<PathBuf>,
}

impl Devices {
    /// Does it, and prints what came of it.
    pub fn run(self, settings: &Settings) -> anyhow::Result<()> {
        telemetry::block_on(&settings.log, async {
            match self.verb {
                Verb::Add { name, password } => add(&self.server, settings, name, password.is_some()).await,
                Verb::Revoke { name } => revoke(&self.server, settings, name).await,
                Verb::List => list(&self.server, settings).await,
                Verb::Export(target) => export(&self.server, settings, &target).await,
            }
        })
    }
}

async fn add(server: &Server, settings: &Settings, name: String, is_given: bool) -> anyhow::Result<()> {
    let mut password = String::new();
    if is_given {
        std::io::stdin().read_to_string(&mut password)?;
        password.truncate(password.trim_end_matches(['\r', '\n']).len());
        anyhow::ensure!(!password.is_empty(), "--password -: standard input is empty");
    }
    let request = AddDeviceRequest { name, password };
    let added = server.admin(settings).await?.add_device(request).await.map_err(|status| told(&status))?;
    let added = added.into_inner();
    let name = added.device.map(|device| device.name).unwrap_or_default();
    if is_given {
        println!("{name}: added");
    } else {
        eprintln!("{name}: added; its password, which cannot be shown again:");
        println!("{}", added.password);
    }
    Ok(())
}

async fn revoke(server: &Server, settings: &Settings, name: String) -> anyhow::Result<()> {
    let request = RevokeDeviceRequest { name: name.clone() };
    server.admin(settings).await?.revoke_device(request).await.map_err(|status| told(&status))?;
    println!("{name}: revoked");
    Ok(())
}

async fn list(server: &Server, settings: &Settings) -> anyhow::Result<()> {
    let mut admin = server.admin(settings).await?;
    let mut request = ListDevicesRequest { page_size: 1_000, page_token: String::new() };
    let mut devices = Vec::new();
    loop {
        let page = admin.list_devices(request.clone()).await.map_err(|status| told(&status))?.into_inner();
        devices.extend(page.devices);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    print!("{}", table::of(&["device", "added"], devices.into_iter().map(row)));
    Ok(())
}

fn row(device: Device) -> [String; 2] {
    let time = device.create_time.unwrap_or_default();
    [device.name, time.to_string()]
}

async fn export(server: &Server, settings: &Settings, target: &Target) -> anyhow::Result<()> {
    let mut admin = server.admin(settings).await?;
    let mut request = ExportDevicesRequest { page_size: 1_000, page_token: String::new() };
    let mut devices = Vec::new();
    loop {
        let page = admin.export_devices(request.clone()).await.map_err(|status| told(&status))?.into_inner();
        devices.extend(page.devices);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    if let Some(folder) = &target.mosquitto {
        export::to_mosquitto(folder, &devices)?;
    }
    if let Some(file) = &target.emqx {
        export::to_emqx(file, &devices)?;
    }
    println!("{} devices", devices.len());
    Ok(())
}
