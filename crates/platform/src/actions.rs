//! Actions: what the settings say of how endpoints are told.

use std::fs;
use std::sync::Arc;

use anyhow::Context;
use cornjacket_actions::Makers;
use cornjacket_actions::guard::Allow;
use cornjacket_actions::outside::Outside;
use cornjacket_actions::secrets::Secrets;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use secrecy::SecretString;

use crate::config::Settings;

/// What endpoints are made with.
pub fn makers(settings: &Settings) -> anyhow::Result<Arc<Makers>> {
    let actions = &settings.actions;
    let keys: Vec<SecretString> = std::iter::once(&actions.secret_key)
        .chain(&actions.former_secret_keys)
        .filter_map(|key| Some(SecretString::from(key.expose()?.to_owned())))
        .collect();
    let secrets = if actions.secret_key.expose().is_some() {
        Some(Secrets::new(&keys).context("actions.secret_key and actions.former_secret_keys")?)
    } else {
        anyhow::ensure!(keys.is_empty(), "actions.secret_key: must be set beside actions.former_secret_keys");
        None
    };
    let allow = Allow::parse(&actions.allow).context("actions.allow")?;
    let outside = Outside::new(allow, &roots(settings)?).context("the way to endpoints")?;
    Ok(Arc::new(Makers { secrets, outside }))
}

/// Certificates that are trusted beside this machine's.
fn roots(settings: &Settings) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let path = &settings.tls.ca;
    if path.is_empty() {
        return Ok(Vec::new());
    }
    let pem = fs::read(path).with_context(|| format!("tls.ca: {path}"))?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    all.with_context(|| format!("tls.ca: {path}"))
}
