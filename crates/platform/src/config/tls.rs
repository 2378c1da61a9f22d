//! What can be set of TLS.

use serde::{Deserialize, Serialize};

/// What of ours is shown, and whom we trust; every file is PEM.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    pub certificate: String,
    pub key: String,
    pub client_ca: String,
    pub ops: bool,
    pub ca: String,
    pub client_certificate: String,
    pub client_key: String,
}

/// A certificate and its key: for each the setting, and the file that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own<'a> {
    pub certificate: (&'static str, &'a str),
    pub key: (&'static str, &'a str),
}

impl Tls {
    /// Whether listeners have TLS.
    pub const fn is_on(&self) -> bool {
        !self.certificate.is_empty()
    }

    /// What our clients show, if anything: a certificate for clients, or else the listeners' own.
    pub fn own(&self) -> Option<Own<'_>> {
        let own = [
            (
                ("tls.client_certificate", self.client_certificate.as_str()),
                ("tls.client_key", self.client_key.as_str()),
            ),
            (("tls.certificate", self.certificate.as_str()), ("tls.key", self.key.as_str())),
        ];
        let set = own.into_iter().find(|((_, file), _)| !file.is_empty());
        set.map(|((certificate, file), (key, its_key))| Own {
            certificate: (certificate, file),
            key: (key, its_key),
        })
    }

    /// Checks what types cannot say. Whether the files are good is found out when they are used.
    pub fn check(&self) -> anyhow::Result<()> {
        let pairs = [
            ("tls.certificate", &self.certificate, "tls.key", &self.key),
            ("tls.client_certificate", &self.client_certificate, "tls.client_key", &self.client_key),
        ];
        for (certificate, its_file, key, its_key) in pairs {
            anyhow::ensure!(
                its_file.is_empty() || !its_key.is_empty(),
                "{key}: must be set, as {certificate} is"
            );
            anyhow::ensure!(
                its_key.is_empty() || !its_file.is_empty(),
                "{certificate}: must be set, as {key} is"
            );
        }
        anyhow::ensure!(
            self.is_on() || self.client_ca.is_empty(),
            "tls.certificate: must be set, as tls.client_ca is"
        );
        anyhow::ensure!(self.is_on() || !self.ops, "tls.certificate: must be set, as tls.ops is");
        for (setting, file) in [("tls.key", &self.key), ("tls.client_key", &self.client_key)] {
            // As secret://… would make of it: it would be read once, and printed as a file that there is not.
            anyhow::ensure!(
                !file.contains("-----BEGIN"),
                "{setting}: must be the path of a file, not what is in it"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let none = Tls::default();
        none.check().expect("TLS is off");
        let file = || "/a.pem".to_owned();
        for (tls, named) in [
            (Tls { certificate: file(), ..none.clone() }, "tls.key:"),
            (Tls { key: file(), ..none.clone() }, "tls.certificate:"),
            (Tls { client_certificate: file(), ..none.clone() }, "tls.client_key:"),
            (Tls { client_ca: file(), ..none.clone() }, "tls.certificate:"),
            (Tls { ops: true, ..none.clone() }, "tls.certificate:"),
        ] {
            let refused = tls.check().expect_err("half of it").to_string();
            assert!(refused.starts_with(named), "{refused}");
        }
    }

    #[test]
    fn a_key_is_not_printed() {
        let key = "-----BEGIN PRIVATE KEY-----\nhunter2".to_owned();
        let refused = Tls { certificate: "/a.pem".to_owned(), key, ..Tls::default() }.check();
        let refused = refused.expect_err("no path").to_string();
        assert!(refused.starts_with("tls.key:") && !refused.contains("hunter2"), "{refused}");
    }
}
