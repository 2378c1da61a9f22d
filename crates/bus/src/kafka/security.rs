//! How connections to Kafka are secured.

use std::fmt;
use std::path::PathBuf;

use rdkafka::ClientConfig;

/// How connections to Kafka are secured; by default they are not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Security {
    /// With TLS: needs the feature `kafka-tls`.
    pub tls: Option<KafkaTls>,
    /// With a login (SASL).
    pub login: Option<Login>,
}

/// Whom we trust and what we show: PEM files, read when a client is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KafkaTls {
    /// CAs that are trusted instead of this machine's.
    pub ca: Option<PathBuf>,
    /// A certificate and its key.
    pub own: Option<(PathBuf, PathBuf)>,
}

/// Who we are.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// `PLAIN`, or with the feature `kafka-tls` also `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub mechanism: String,
    /// Our name.
    pub user: String,
    /// Never printed.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mechanism, user, .. } = self;
        formatter
            .debug_struct("Login")
            .field("mechanism", mechanism)
            .field("user", user)
            .finish_non_exhaustive()
    }
}

impl Security {
    pub(super) fn configure(&self, config: &mut ClientConfig) {
        let protocol = match (&self.tls, &self.login) {
            (None, None) => return,
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        config.set("security.protocol", protocol);
        if let Some(tls) = &self.tls {
            // The library's own OpenSSL does not know where this machine keeps its CAs: it looks around.
            let ca = tls.ca.as_ref().map_or_else(|| "probe".to_owned(), |ca| ca.display().to_string());
            config.set("ssl.ca.location", ca);
            if let Some((certificate, key)) = &tls.own {
                config.set("ssl.certificate.location", certificate.display().to_string());
                config.set("ssl.key.location", key.display().to_string());
            }
        }
        if let Some(login) = &self.login {
            config.set("sasl.mechanisms", &login.mechanism);
            config.set("sasl.username", &login.user).set("sasl.password", &login.password);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_becomes_what_librdkafka_calls_it() {
        let tls = Some(KafkaTls { ca: Some("/ca.pem".into()), own: None });
        let login = Some(Login { mechanism: "PLAIN".into(), user: "us".into(), password: "hunter2".into() });
        for (security, protocol) in [
            (Security::default(), None),
            (Security { tls: tls.clone(), login: None }, Some("ssl")),
            (Security { tls: None, login: login.clone() }, Some("sasl_plaintext")),
            (Security { tls, login }, Some("sasl_ssl")),
        ] {
            let mut config = ClientConfig::new();
            security.configure(&mut config);
            assert_eq!(config.get("security.protocol"), protocol);
            assert_eq!(config.get("ssl.ca.location"), security.tls.as_ref().map(|_| "/ca.pem"));
            assert_eq!(config.get("sasl.password"), security.login.as_ref().map(|_| "hunter2"));
            assert!(!format!("{security:?}").contains("hunter2"));
        }
    }
}
