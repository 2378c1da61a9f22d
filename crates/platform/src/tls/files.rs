//! The files that settings name: certificates and keys as PEM.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Files, by the names of the settings that name them.
#[derive(Clone, Debug, Default)]
pub struct Files(BTreeMap<&'static str, PathBuf>);

impl Files {
    /// With the file that this setting names; nothing when it is empty.
    #[must_use]
    pub fn and(mut self, setting: &'static str, path: &str) -> Self {
        if !path.is_empty() {
            self.0.insert(setting, path.into());
        }
        self
    }

    /// What is in them now.
    pub fn read(&self) -> Contents {
        let read =
            |path: &PathBuf| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
        Contents(self.0.iter().map(|(setting, path)| (*setting, read(path))).collect())
    }
}

/// What was in the files, or why they could not be read.
#[derive(PartialEq, Eq)]
pub struct Contents(BTreeMap<&'static str, Result<Vec<u8>, String>>);

impl Contents {
    /// Whether the setting names a file.
    pub fn has(&self, setting: &str) -> bool {
        self.0.contains_key(setting)
    }

    /// The certificates of a file, in its order. There is one at least.
    pub fn certificates(&self, setting: &'static str) -> anyhow::Result<Vec<CertificateDer<'static>>> {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(self.text(setting)?).collect();
        let certificates = certificates.context(setting)?;
        anyhow::ensure!(!certificates.is_empty(), "{setting}: the file has no certificate");
        Ok(certificates)
    }

    /// The private key of a file.
    pub fn key(&self, setting: &'static str) -> anyhow::Result<PrivateKeyDer<'static>> {
        PrivateKeyDer::from_pem_slice(self.text(setting)?)
            .map_err(|_| anyhow::anyhow!("{setting}: the file has no private key"))
    }

    /// Adds the certificates of a file to those that are trusted.
    pub fn trust(&self, setting: &'static str, roots: &mut RootCertStore) -> anyhow::Result<()> {
        for certificate in self.certificates(setting)? {
            roots.add(certificate).context(setting)?;
        }
        Ok(())
    }

    fn text(&self, setting: &'static str) -> anyhow::Result<&[u8]> {
        let text = self.0.get(setting).with_context(|| format!("{setting}: must be set"))?;
        text.as_deref().map_err(|error| anyhow::anyhow!("{setting}: {error}"))
    }
}
