//! Flags of an endpoint that is told by a request made of templates.

use std::path::{Path, PathBuf};

use clap::Args;
use cornjacket_proto::actions::HttpRequest;
use cornjacket_proto::actions::endpoint::Channel;

use super::create;

/// Flags of `cornjacket endpoints create NAME http`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// Where it goes; path and query may be templates, such as `https://api.example/tickets/{{ event.subject }}`.
    #[arg(long)]
    url: String,
    /// POST, GET, PUT, PATCH or DELETE.
    #[arg(long, default_value = "POST")]
    method: String,
    /// A header, whose value may be a template. It can be given several times.
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// A header with a secret, which is in a file, or on standard input for `-`. It can be given several times.
    #[arg(long = "secret-header", value_name = "NAME: FILE", value_parser = header)]
    secret_headers: Vec<(String, String)>,
    /// A file with the template of the body.
    #[arg(long, value_name = "FILE")]
    body_file: Option<PathBuf>,
    /// What the body is.
    #[arg(long, default_value = "application/json")]
    content_type: String,
}

impl Flags {
    pub(super) fn channel(self) -> anyhow::Result<Channel> {
        let body = self.body_file.as_deref().map(|file| create::read("body-file", file));
        let secret = |(name, file): (String, String)| {
            let secret = create::secret("secret-header", Path::new(&file))?;
            anyhow::Ok((name, secret))
        };
        Ok(Channel::Http(HttpRequest {
            method: self.method,
            url: self.url,
            headers: self.headers.into_iter().collect(),
            body: body.transpose()?.unwrap_or_default(),
            content_type: self.content_type,
            secret_headers: self.secret_headers.into_iter().map(secret).collect::<Result<_, _>>()?,
        }))
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("must be NAME: VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}
