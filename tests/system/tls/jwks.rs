//! Keys that are fetched: the process has a TLS provider, without which it would not even start to.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cornjacket_domain::{Clock, SystemClock};
use rcgen::{KeyPair, PKCS_ED25519, SigningKey};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::super::cornjacket::{Cornjacket, stop};
use super::super::http::ask;
use super::PROJECTIONS;

fn encoded(part: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(part)
}

/// A token for questions, signed with a key of that id (RFC 8037).
fn signed(key: &KeyPair, id: &str) -> anyhow::Result<String> {
    let exp = SystemClock.now().as_micros() / 1_000_000 + 600;
    let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": id});
    let claims = json!({"sub": "somebody", "aud": "cornjacket", "exp": exp, "scope": "query"});
    let said = format!("{}.{}", encoded(header.to_string()), encoded(claims.to_string()));
    Ok(format!("{said}.{}", encoded(key.sign(said.as_bytes())?)))
}

/// Serves a key set with that key: its URL.
async fn endpoint(key: &KeyPair, id: &str) -> anyhow::Result<String> {
    use rcgen::PublicKeyData;
    let key = json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": id,
        "x": encoded(key.der_bytes())});
    let keys = json!({"keys": [key]}).to_string();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/jwks.json", listener.local_addr()?);
    let router = Router::new().route("/jwks.json", get(async || keys));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(url)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_a_fetched_key_comes_in_and_one_of_an_unknown_key_does_not() -> anyhow::Result<()> {
    let (known, unknown) = (KeyPair::generate_for(&PKCS_ED25519)?, KeyPair::generate_for(&PKCS_ED25519)?);
    let url = endpoint(&known, "known").await?;
    let folder = tempfile::tempdir()?;
    let store = format!("sqlite://{}", folder.path().join("cornjacket.db").display());
    let cornjacket = Cornjacket::new(&[("store.url", &store), ("auth.jwks", &url)])?;
    let process = cornjacket.start().await?;
    let call = async |token: String| -> anyhow::Result<(u16, Value)> {
        let authorization = format!("Bearer {token}");
        let headers = [("authorization", authorization.as_str())];
        let answer = ask(cornjacket.gateway, &format!("GET {PROJECTIONS}"), &headers, "").await?;
        Ok((answer.status, answer.json()?))
    };
    assert_eq!(call(signed(&known, "known")?).await?.0, 200);
    for (key, id, reason) in [(&unknown, "unknown", "KEY_UNKNOWN"), (&unknown, "known", "SIGNATURE_INVALID")]
    {
        let (status, said) = call(signed(key, id)?).await?;
        assert_eq!(status, 401, "{said}");
        assert!(said.to_string().contains(reason), "{said}");
    }
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_behind_https_are_no_reason_not_to_start() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let store = format!("sqlite://{}", folder.path().join("cornjacket.db").display());
    // Nothing listens there.
    let cornjacket =
        Cornjacket::new(&[("store.url", &store), ("auth.jwks", "https://127.0.0.1:9/jwks.json")])?;
    let process = cornjacket.start().await?;
    tokio::time::timeout(Duration::from_secs(30), stop(process)).await?
}
