//! Certificates of a test's own.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use tempfile::TempDir;

/// A CA, and files in a folder: `ca.pem`, and `name.pem` and `name.key` of each certificate that it issued.
pub struct Pki {
    folder: TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    pub fn new(name: &str) -> anyhow::Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pki = Self {
            folder: tempfile::tempdir()?,
            ca: CertifiedIssuer::self_signed(params, KeyPair::generate()?)?,
        };
        // Also for a server that runs as another user.
        fs::set_permissions(pki.folder.path(), fs::Permissions::from_mode(0o755))?;
        fs::write(pki.path("ca.pem"), pki.ca.pem())?;
        Ok(pki)
    }

    pub fn file(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// For a server on this machine.
    pub fn server(&self, name: &str) -> anyhow::Result<()> {
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        self.issue(name, CertificateParams::new(names)?, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// For a client.
    pub fn client(&self, name: &str) -> anyhow::Result<()> {
        self.issue(name, CertificateParams::default(), ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(
        &self,
        name: &str,
        mut params: CertificateParams,
        usage: ExtendedKeyUsagePurpose,
    ) -> anyhow::Result<()> {
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.ca)?;
        replace(&self.path(&format!("{name}.pem")), &certificate.pem())?;
        replace(&self.path(&format!("{name}.key")), &key.serialize_pem())
    }

    /// Gives a key to the owner of that folder: PostgreSQL takes no other.
    pub fn give_key(&self, name: &str, owned_as: &Path) -> anyhow::Result<()> {
        use std::os::unix::fs::MetadataExt;
        let key = self.path(&format!("{name}.key"));
        let owner = fs::metadata(owned_as)?;
        chown(&key, Some(owner.uid()), Some(owner.gid()))?;
        Ok(fs::set_permissions(key, fs::Permissions::from_mode(0o600))?)
    }
}

/// At once, as who renews certificates does.
fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, text)?;
    Ok(fs::rename(new, path)?)
}
