//! Keys, tokens and a provider of keys, for tests.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use aws_lc_rs::{hmac, rsa::KeySize};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use cornjacket_domain::clock::ManualClock;
use cornjacket_domain::{Clock, Timestamp};
use cornjacket_proto::google::rpc;
use cornjacket_proto::status::Failure;
use serde_json::{Value, json};

use crate::{Authenticator, KeySource, Options};

/// When the tests begin, in seconds.
pub const NOW: i64 = 1_800_000_000;

/// A secret of the least length.
pub const SECRET: &str = "a secret of thirty-two bytes....";

/// The clock of a test.
pub fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(Timestamp::from_micros(NOW * 1_000_000)))
}

/// Claims of a good token, changed by those that are given; `null` takes one away.
pub fn claims(changes: Value) -> Value {
    let mut claims = json!({
        "sub": "someone", "aud": "cornjacket", "iat": NOW, "exp": NOW + 3600, "scope": "ingest query other",
    });
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    for (name, value) in changes {
        claims[name] = value;
    }
    claims.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
    claims
}

/// Parts of a token, signed by `sign`.
pub fn token(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(header), encode(claims));
    let signature = BASE64_URL_SAFE_NO_PAD.encode(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// Signs with HS256.
pub fn hs256(secret: &[u8]) -> impl Fn(&[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    move |message| hmac::sign(&key, message).as_ref().to_vec()
}

/// A token of [`SECRET`].
pub fn secret_token(changes: Value) -> String {
    token(&json!({ "alg": "HS256" }), &claims(changes), hs256(SECRET.as_bytes()))
}

/// A private key.
pub enum Pair {
    /// For RS256.
    Rsa(RsaKeyPair),
    /// For ES256.
    Ec(EcdsaKeyPair),
    /// For `EdDSA`.
    Ed(Ed25519KeyPair),
}

/// Making one takes long.
pub static RSA: LazyLock<Pair> =
    LazyLock::new(|| Pair::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).expect("a key is made")));

impl Pair {
    /// A new key for ES256.
    pub fn ec() -> Self {
        Self::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key is made"))
    }

    /// A new key for `EdDSA`.
    pub fn ed() -> Self {
        Self::Ed(Ed25519KeyPair::generate().expect("a key is made"))
    }

    /// What it is for.
    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::Ec(_) => "ES256",
            Self::Ed(_) => "EdDSA",
        }
    }

    /// Its public part.
    pub fn jwk(&self, kid: &str) -> Value {
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Rsa(pair) => {
                let (n, e) = (pair.public_key().modulus(), pair.public_key().exponent());
                let [n, e] = [n, e].map(|part| encode(part.big_endian_without_leading_zero()));
                json!({ "kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256", "n": n, "e": e })
            }
            Self::Ec(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({ "kty": "EC", "crv": "P-256", "kid": kid, "x": encode(x), "y": encode(y) })
            }
            Self::Ed(pair) => {
                let x = encode(pair.public_key().as_ref());
                json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x })
            }
        }
    }

    /// Signs.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).expect("it signs");
                signature
            }
            Self::Ec(pair) => pair.sign(&random, message).expect("it signs").as_ref().to_vec(),
            Self::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// A good token that names this key so.
    pub fn token(&self, kid: &str) -> String {
        let header = json!({ "alg": self.algorithm(), "kid": kid, "typ": "at+jwt" });
        token(&header, &claims(json!({})), |message| self.sign(message))
    }
}

/// A document of keys.
pub fn key_set(keys: &[Value]) -> Value {
    json!({ "keys": keys })
}

/// What the caller is told of why.
pub fn reason(failure: &Failure) -> String {
    detail::<rpc::ErrorInfo>(failure).expect("a reason").reason
}

/// A detail of a failure, if it has one of that kind.
pub fn detail<M: prost::Name + Default>(failure: &Failure) -> Option<M> {
    let details = rpc::Status::from(failure.clone()).details;
    let detail = details.into_iter().find(|detail| detail.type_url.ends_with(&M::full_name()))?;
    Some(M::decode(detail.value.as_slice()).expect("it says what it is"))
}

/// A provider of keys on this machine.
#[derive(Clone)]
pub struct Provider {
    /// Where it is.
    pub url: String,
    /// What it answers with, nothing when it is down.
    pub document: Arc<Mutex<Option<Value>>>,
    fetches: Arc<AtomicUsize>,
}

impl Provider {
    /// One that answers `/keys` with `document`, and says where that is.
    pub async fn start(document: Value) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let provider = Self { url, document: Arc::new(Mutex::new(Some(document))), fetches: Arc::default() };
        let (keys, metadata) = (provider.clone(), provider.clone());
        let router = Router::new()
            .route("/keys", get(|| async move { keys.answer() }))
            .route("/.well-known/openid-configuration", get(|| async move { metadata.metadata() }))
            .route("/elsewhere", get(|| async { (StatusCode::FOUND, [("location", "/keys")]) }));
        tokio::spawn(async move { axum::serve(listener, router).await });
        provider
    }

    fn answer(&self) -> (StatusCode, String) {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        let document = self.document.lock().expect("no test panics with it");
        let answer = document.as_ref().map(|document| (StatusCode::OK, document.to_string()));
        answer.unwrap_or_else(|| (StatusCode::SERVICE_UNAVAILABLE, String::new()))
    }

    fn metadata(&self) -> String {
        json!({ "issuer": self.url, "jwks_uri": format!("{}/keys", self.url) }).to_string()
    }

    /// How often it was asked for keys.
    pub fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }

    /// What it answers with from now on.
    pub fn serve(&self, document: Option<Value>) {
        *self.document.lock().expect("no test panics with it") = document;
    }

    /// An authenticator that has its keys from here.
    pub fn authenticator(&self, clock: Arc<dyn Clock>) -> Authenticator {
        let keys = Some(KeySource::Url(format!("{}/keys", self.url)));
        Authenticator::start(&Options { keys, ..Options::default() }, clock).expect("good options")
    }
}

/// Waits until something is so.
pub async fn until(condition: impl Fn() -> bool) {
    let looking = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), looking).await.expect("it comes to be so");
}
