//! Flags of an endpoint that is told by mail.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use cornjacket_proto::actions::endpoint::Channel;
use cornjacket_proto::actions::{Email, SmtpSecurity};

use super::create;

/// Flags of `cornjacket endpoints create NAME email`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// The mail server.
    #[arg(long)]
    host: String,
    /// Its port; by default 587 for starttls, 465 for implicit, 25 for plain.
    #[arg(long, default_value_t = 0)]
    port: u32,
    /// How the way there is secured. Plain goes only to addresses that the settings allow.
    #[arg(long, default_value = "starttls")]
    security: Security,
    /// Whom it is from.
    #[arg(long)]
    from: String,
    /// Whom it is for. It can be given several times.
    #[arg(long, required = true)]
    to: Vec<String>,
    /// Whom the server knows us as.
    #[arg(long, requires = "password_file", default_value = "")]
    user: String,
    /// A file with the user's password, or `-` for standard input.
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Security {
    Starttls,
    Implicit,
    Plain,
}

impl Flags {
    pub(super) fn channel(self) -> anyhow::Result<Channel> {
        let security = match self.security {
            Security::Starttls => SmtpSecurity::Starttls,
            Security::Implicit => SmtpSecurity::Implicit,
            Security::Plain => SmtpSecurity::Plain,
        };
        let password = self.password_file.as_deref().map(|file| create::secret("password-file", file));
        Ok(Channel::Email(Email {
            host: self.host,
            port: self.port,
            security: security.into(),
            from: self.from,
            to: self.to,
            user: self.user,
            password: password.transpose()?.unwrap_or_default(),
        }))
    }
}
