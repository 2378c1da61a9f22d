//! Who may come in: from the settings to what checks tokens, and to tokens of our own.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use cornjacket_auth::{Algorithm, AuthLayer, Authenticator, KeySource, Options, TokenRequest, mint};
use cornjacket_domain::{Clock, Scope, SystemClock};
use secrecy::SecretString;

use crate::config::{Auth, AuthMode};

/// What people and the verbs of the binary may do: all but what is for models.
const OF_PEOPLE: [Scope; 4] = [Scope::Ingest, Scope::Query, Scope::Actions, Scope::Admin];

/// What checks tokens; none where authentication is off.
pub fn authenticator(auth: &Auth, clock: Arc<dyn Clock>) -> anyhow::Result<Option<Authenticator>> {
    if auth.mode == AuthMode::Off {
        tracing::warn!("auth.mode is \"off\": everybody who reaches a port may do everything");
        return Ok(None);
    }
    let options = options(auth)?;
    anyhow::ensure!(
        options.secret.is_some() || options.keys.is_some(),
        "auth.secret: must be set, or auth.jwks, or auth.issuer; auth.mode = \"off\" lets everybody do everything"
    );
    Ok(Some(Authenticator::start(&options, clock).context("auth")?))
}

/// The layer around every service.
pub fn layer(auth: &Auth, authenticator: Option<Authenticator>) -> AuthLayer {
    AuthLayer::new(authenticator, auth.open_health)
}

fn options(auth: &Auth) -> anyhow::Result<Options> {
    let failures = NonZeroU32::new(auth.failures_per_minute);
    let failures = failures.context("auth.failures_per_minute: must be above zero")?;
    Ok(Options {
        secret: secret(auth),
        keys: keys(auth),
        issuer: issuer(auth),
        audience: auth.audience.clone(),
        algorithms: algorithms(&auth.algorithms)?,
        leeway: Duration::from_secs(auth.leeway_s),
        failures_per_minute: failures,
        failure_burst: failures,
        ..Options::default()
    })
}

fn issuer(auth: &Auth) -> Option<String> {
    Some(auth.issuer.clone()).filter(|issuer| !issuer.is_empty())
}

fn secret(auth: &Auth) -> Option<SecretString> {
    auth.secret.expose().map(|secret| SecretString::from(secret.to_owned()))
}

fn keys(auth: &Auth) -> Option<KeySource> {
    let is_url = |text: &str| text.starts_with("https://") || text.starts_with("http://");
    match (auth.jwks.as_str(), auth.issuer.as_str()) {
        ("", issuer) if is_url(issuer) => Some(KeySource::Issuer(issuer.to_owned())),
        ("", _) => None,
        (jwks, _) if is_url(jwks) => Some(KeySource::Url(jwks.to_owned())),
        (file, _) => Some(KeySource::File(file.into())),
    }
}

fn algorithms(names: &[String]) -> anyhow::Result<Option<Vec<Algorithm>>> {
    let by_name = |name: &String| {
        Algorithm::by_name(name)
            .with_context(|| format!("auth.algorithms: {name:?} is none of HS256, RS256, ES256, EdDSA"))
    };
    let wanted = names.iter().map(by_name).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Some(wanted).filter(|wanted| !wanted.is_empty()))
}

/// A token that this machine's secret vouches for, for a verb of the binary itself; none without a secret.
pub fn own_token(auth: &Auth, name: &str) -> anyhow::Result<Option<String>> {
    let Some(_) = auth.secret.expose() else { return Ok(None) };
    let lifetime = cornjacket_auth::LONGEST_LIFETIME;
    let request = TokenRequest { lifetime, ..token_request(auth, name, &OF_PEOPLE) };
    minted(auth, &request).map(Some)
}

/// What a token of ours says that is accepted here.
pub fn token_request(auth: &Auth, name: &str, scopes: &[Scope]) -> TokenRequest {
    TokenRequest { issuer: issuer(auth), ..TokenRequest::new(name, scopes, &*auth.audience) }
}

/// A token that says so, signed with the settings' secret.
pub fn minted(auth: &Auth, request: &TokenRequest) -> anyhow::Result<String> {
    let secret = secret(auth).context(
        "auth.secret: must be set; `cornjacket dev` keeps one in its data folder, which --data names",
    )?;
    mint(&secret, request, SystemClock.now()).context("auth.secret")
}
