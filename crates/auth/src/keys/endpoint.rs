//! Fetching a key set over HTTP.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use rustls::crypto::CryptoProvider;
use serde::Deserialize;

use crate::AuthError;

/// How long a caller waits for keys at most: for metadata and keys together.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What a document of keys may have. Sets of the large providers have a hundredth of it.
const MOST_BYTES: usize = 256 * 1024;

const DISCOVERY: &str = ".well-known/openid-configuration";

/// Where keys are fetched from.
#[derive(Debug)]
pub struct Endpoint {
    client: Client,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Keys(Url),
    /// Metadata, which must say that it is of this issuer.
    Metadata(Url, String),
}

/// What is read of a provider's metadata.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

impl Endpoint {
    /// A key set at a URL.
    pub fn keys_at(url: &str) -> Result<Self, AuthError> {
        Self::new(Place::Keys(trusted(url)?))
    }

    /// The key set that an `OpenID` provider names.
    pub fn of_issuer(issuer: &str) -> Result<Self, AuthError> {
        let metadata = trusted(&format!("{}/{DISCOVERY}", issuer.trim_end_matches('/')))?;
        Self::new(Place::Metadata(metadata, issuer.to_owned()))
    }

    fn new(place: Place) -> Result<Self, AuthError> {
        if CryptoProvider::get_default().is_none() {
            return Err(AuthError::NoTlsProvider);
        }
        // No redirects and no proxy: keys come from where the settings say, or not at all.
        let client = Client::builder().redirect(Policy::none()).no_proxy().referer(false).build()?;
        Ok(Self { client, place })
    }

    /// The document of keys, or why there is none, for the log.
    pub async fn fetch(&self) -> Result<Vec<u8>, String> {
        let fetched = tokio::time::timeout(TIMEOUT, self.fetch_keys()).await;
        fetched.unwrap_or_else(|_| Err(format!("no answer within {TIMEOUT:?}")))
    }

    async fn fetch_keys(&self) -> Result<Vec<u8>, String> {
        let (metadata, issuer) = match &self.place {
            Place::Keys(url) => return self.get(url.clone()).await,
            Place::Metadata(url, issuer) => (url.clone(), issuer),
        };
        let metadata = self.get(metadata).await?;
        let metadata: Metadata = serde_json::from_slice(&metadata).map_err(|error| error.to_string())?;
        if metadata.issuer != *issuer {
            return Err(format!("the metadata is of another issuer, {:?}", metadata.issuer));
        }
        self.get(trusted(&metadata.jwks_uri).map_err(|error| error.to_string())?).await
    }

    async fn get(&self, url: Url) -> Result<Vec<u8>, String> {
        let mut response = self.client.get(url).send().await.map_err(|error| causes(&error))?;
        if response.status() != StatusCode::OK {
            return Err(format!("the answer is {}", response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| causes(&error))? {
            body.extend_from_slice(&chunk);
            if body.len() > MOST_BYTES {
                return Err(format!("the answer has more than {MOST_BYTES} bytes"));
            }
        }
        Ok(body)
    }
}

/// A URL that nobody on the way can answer for: whoever can change the keys can be anybody.
fn trusted(text: &str) -> Result<Url, AuthError> {
    let refused = |why: String| AuthError::Url { url: text.to_owned(), why };
    let url = Url::parse(text).map_err(|error| refused(error.to_string()))?;
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        _ => Err(refused("it must begin with https:, or be on this machine".to_owned())),
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// An error with what caused it: reqwest's own text says only that a request failed.
fn causes(error: &reqwest::Error) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_from_where_nobody_can_change_them_on_the_way() {
        for good in
            ["https://login.example.com/keys", "http://127.0.0.1:9/k", "http://[::1]/k", "http://localhost/k"]
        {
            assert!(trusted(good).is_ok(), "{good}");
        }
        for bad in [
            "http://login.example.com/keys",
            "http://127.0.0.1.example.com",
            "file:///keys.json",
            "keys.json",
        ] {
            assert!(trusted(bad).is_err(), "{bad}");
        }
    }
}
