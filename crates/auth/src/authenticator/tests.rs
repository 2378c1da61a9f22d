//! What is let in and what is not, with a secret and with keys of a file.

use std::time::Duration;

use cornjacket_domain::clock::ManualClock;
use cornjacket_domain::{Patterns, Scope, Timestamp};
use cornjacket_proto::status::ErrorKind;
use http::HeaderValue;
use serde_json::{Value, json};

use super::*;
use crate::testing::{self, NOW, Pair, RSA, SECRET, claims, hs256, key_set, reason, secret_token};
use crate::{DEFAULT_LIFETIME, TokenRequest, mint};

fn options() -> Options {
    Options { secret: Some(SECRET.into()), ..Options::default() }
}

fn started(options: &Options) -> (Authenticator, Arc<ManualClock>) {
    let clock = testing::clock();
    (Authenticator::start(options, clock.clone()).expect("good options"), clock)
}

async fn refused(authenticator: &Authenticator, token: &str) -> String {
    let failure = authenticator.authenticate_token(token, None).await.expect_err("the token is bad");
    assert_eq!(failure.kind(), ErrorKind::Unauthenticated, "{failure}");
    reason(&failure)
}

#[tokio::test]
async fn claims_become_a_caller() {
    let (authenticator, _) = started(&options());
    let token = secret_token(json!({ "subjects": ["pump-*"], "nbf": NOW }));
    let caller = authenticator.authenticate_token(&token, None).await.expect("a good token");
    let expected = Caller::new("someone", &[Scope::Ingest, Scope::Query])
        .limited_to(Patterns::Any(vec!["pump-*".into()]), Patterns::All)
        .until(Timestamp::from_micros((NOW + 3600) * 1_000_000));
    assert_eq!(caller, expected);
    let none = secret_token(json!({ "sources": [], "scope": null, "aud": ["other", "cornjacket"] }));
    let caller = authenticator.authenticate_token(&none, None).await.expect("a good token");
    assert!(caller.authorize(Scope::Query).is_err());
    assert!(!caller.may_read("pump-1", "anything"));
}

#[tokio::test]
async fn claims_that_are_not_good_are_refused() {
    let (authenticator, _) = started(&Options { issuer: Some("us".into()), ..options() });
    assert!(authenticator.authenticate_token(&secret_token(json!({ "iss": "us" })), None).await.is_ok());
    let late = NOW + 25 * 3600;
    for (changes, expected) in [
        (json!({ "exp": NOW }), "TOKEN_EXPIRED"),
        (json!({ "exp": null }), "TOKEN_MALFORMED"),
        (json!({ "exp": "soon" }), "TOKEN_MALFORMED"),
        (json!({ "exp": -1 }), "TOKEN_MALFORMED"),
        (json!({ "exp": 1e300 }), "TOKEN_MALFORMED"),
        (json!({ "nbf": NOW + 31 }), "TOKEN_NOT_YET_VALID"),
        (json!({ "iat": NOW + 31 }), "TOKEN_NOT_YET_VALID"),
        (json!({ "nbf": "now" }), "TOKEN_MALFORMED"),
        (json!({ "exp": late }), "LIFETIME_TOO_LONG"),
        (json!({ "exp": late, "iat": null }), "LIFETIME_TOO_LONG"),
        (json!({ "iat": NOW - 24 * 3600 }), "LIFETIME_TOO_LONG"),
        (json!({ "aud": "other" }), "AUDIENCE_MISMATCH"),
        (json!({ "aud": [] }), "AUDIENCE_MISMATCH"),
        (json!({ "aud": null }), "AUDIENCE_MISMATCH"),
        (json!({ "aud": 1 }), "TOKEN_MALFORMED"),
        (json!({ "iss": "them" }), "ISSUER_MISMATCH"),
        (json!({ "iss": null }), "ISSUER_MISMATCH"),
        (json!({ "sub": null }), "TOKEN_MALFORMED"),
        (json!({ "sub": "" }), "TOKEN_MALFORMED"),
        (json!({ "sub": 7 }), "TOKEN_MALFORMED"),
        (json!({ "sub": "a\u{7}b" }), "TOKEN_MALFORMED"),
        (json!({ "sub": "x".repeat(257) }), "TOKEN_MALFORMED"),
        (json!({ "scope": ["ingest"] }), "TOKEN_MALFORMED"),
        (json!({ "subjects": "pump-*" }), "TOKEN_MALFORMED"),
        (json!({ "subjects": [1] }), "TOKEN_MALFORMED"),
        (json!({ "sources": {} }), "TOKEN_MALFORMED"),
    ] {
        let mut all = json!({ "iss": "us" });
        all.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
        assert_eq!(refused(&authenticator, &secret_token(all)).await, expected, "{changes}");
    }
}

#[tokio::test]
async fn a_limit_that_is_null_is_not_no_limit() {
    let (authenticator, _) = started(&options());
    let mut claims = claims(json!({}));
    claims["subjects"] = Value::Null;
    let token = testing::token(&json!({ "alg": "HS256" }), &claims, hs256(SECRET.as_bytes()));
    assert_eq!(refused(&authenticator, &token).await, "TOKEN_MALFORMED");
}

#[tokio::test]
async fn headers_that_are_not_good_are_refused() {
    let (authenticator, _) = started(&options());
    for (header, expected) in [
        (json!({ "alg": "none" }), "ALGORITHM_REFUSED"),
        (json!({ "alg": "None" }), "ALGORITHM_REFUSED"),
        (json!({ "alg": "HS512" }), "ALGORITHM_REFUSED"),
        (json!({ "alg": "RS256" }), "ALGORITHM_REFUSED"),
        (json!({ "alg": "HS256", "crit": ["exp"] }), "CRITICAL_HEADER"),
        (json!({ "alg": "HS256", "crit": [] }), "CRITICAL_HEADER"),
        (json!({ "alg": "HS256", "crit": null }), "CRITICAL_HEADER"),
        (json!({ "alg": "HS256", "typ": "dpop+jwt" }), "TOKEN_MALFORMED"),
        (json!({ "typ": "JWT" }), "TOKEN_MALFORMED"),
    ] {
        let token = testing::token(&header, &claims(json!({})), hs256(SECRET.as_bytes()));
        assert_eq!(refused(&authenticator, &token).await, expected, "{header}");
    }
    let unsigned = testing::token(&json!({ "alg": "none" }), &claims(json!({})), |_| Vec::new());
    assert_eq!(refused(&authenticator, &unsigned).await, "ALGORITHM_REFUSED");
}

#[tokio::test]
async fn what_is_no_token_or_was_changed_is_refused() {
    let (authenticator, _) = started(&options());
    let good = secret_token(json!({}));
    let (signed, signature) = good.rsplit_once('.').expect("a token");
    let other = secret_token(json!({ "sub": "somebody else" }));
    let (other_signed, _) = other.rsplit_once('.').expect("a token");
    for (token, expected) in [
        ("", "TOKEN_MALFORMED"),
        ("a.b.c", "TOKEN_MALFORMED"),
        (signed, "TOKEN_MALFORMED"),
        (&format!("{good}.x"), "TOKEN_MALFORMED"),
        (&format!("{good}{}", "x".repeat(17_000)), "TOKEN_MALFORMED"),
        (&format!("{signed}."), "SIGNATURE_INVALID"),
        (&format!("{good}="), "SIGNATURE_INVALID"),
        (&format!("{other_signed}.{signature}"), "SIGNATURE_INVALID"),
    ] {
        assert_eq!(refused(&authenticator, token).await, expected, "{token}");
    }
    let wrong = testing::token(&json!({ "alg": "HS256" }), &claims(json!({})), hs256(&[b'x'; 32]));
    assert_eq!(refused(&authenticator, &wrong).await, "SIGNATURE_INVALID");
}

#[tokio::test]
async fn the_token_is_in_one_header() {
    let (authenticator, _) = started(&options());
    let good = secret_token(json!({}));
    for (values, expected) in [
        (vec![format!("Bearer {good}")], None),
        (vec![format!("bearer  {good}")], None),
        (vec![], Some("TOKEN_MISSING")),
        (vec!["Bearer".to_owned()], Some("TOKEN_MISSING")),
        (vec!["Basic dXNlcjpwYXNz".to_owned()], Some("TOKEN_MISSING")),
        (vec![good.clone()], Some("TOKEN_MISSING")),
        (vec![format!("Bearer {good}"), format!("Bearer {good}")], Some("TOKEN_MALFORMED")),
    ] {
        let mut headers = HeaderMap::new();
        for value in &values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).expect("a header"));
        }
        let failed = authenticator.authenticate(&headers, None).await.err();
        assert_eq!(failed.as_ref().map(reason).as_deref(), expected, "{values:?}");
    }
}

#[tokio::test]
async fn a_token_that_was_good_is_bad_once_it_has_ended() {
    let (authenticator, clock) = started(&options());
    let token = secret_token(json!({}));
    assert!(authenticator.authenticate_token(&token, None).await.is_ok());
    clock.advance(Duration::from_secs(3599));
    assert!(authenticator.authenticate_token(&token, None).await.is_ok());
    clock.advance(Duration::from_secs(1));
    assert_eq!(refused(&authenticator, &token).await, "TOKEN_EXPIRED");
    clock.set(Timestamp::from_micros((NOW - 31) * 1_000_000));
    assert_eq!(refused(&authenticator, &token).await, "TOKEN_NOT_YET_VALID");
}

/// An authenticator with these keys, in a file that goes away with the folder.
fn with_keys(keys: &[Value], secret: Option<&str>) -> (Authenticator, Arc<ManualClock>, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.json");
    std::fs::write(&path, key_set(keys).to_string()).expect("a file");
    let options =
        Options { secret: secret.map(Into::into), keys: Some(KeySource::File(path)), ..Options::default() };
    let (authenticator, clock) = started(&options);
    (authenticator, clock, folder)
}

#[tokio::test]
async fn every_kind_of_key_checks_its_own_tokens() {
    let (ec, ed) = (Pair::ec(), Pair::ed());
    let keys = [RSA.jwk("rsa"), ec.jwk("ec"), ed.jwk("ed")];
    let (authenticator, _, _folder) = with_keys(&keys, Some(SECRET));
    for token in [RSA.token("rsa"), ec.token("ec"), ed.token("ed"), secret_token(json!({}))] {
        assert!(authenticator.authenticate_token(&token, None).await.is_ok());
    }
    for (token, expected) in [
        (Pair::ec().token("ec"), "SIGNATURE_INVALID"),
        (Pair::ed().token("ed"), "SIGNATURE_INVALID"),
        (ec.token("ed"), "ALGORITHM_REFUSED"),
        (ec.token("another"), "KEY_UNKNOWN"),
    ] {
        assert_eq!(refused(&authenticator, &token).await, expected);
    }
    let unnamed = testing::token(&json!({ "alg": "ES256" }), &claims(json!({})), |message| ec.sign(message));
    assert!(authenticator.authenticate_token(&unnamed, None).await.is_ok());
}

/// A server that takes the algorithm from the token would check these with the public key as a secret.
#[tokio::test]
async fn a_public_key_is_no_secret() {
    let jwk = RSA.jwk("rsa");
    let modulus = jwk["n"].as_str().expect("a modulus");
    for secret in [None, Some(SECRET)] {
        let (authenticator, _, _folder) = with_keys(std::slice::from_ref(&jwk), secret);
        for shown in [jwk.to_string(), modulus.to_owned()] {
            let header = json!({ "alg": "HS256", "kid": "rsa" });
            let forged = testing::token(&header, &claims(json!({})), hs256(shown.as_bytes()));
            let expected = if secret.is_some() { "SIGNATURE_INVALID" } else { "ALGORITHM_REFUSED" };
            assert_eq!(refused(&authenticator, &forged).await, expected);
        }
    }
}

#[tokio::test]
async fn keys_that_are_for_something_else_are_left_out() {
    let ed = Pair::ed();
    let with = |change: Value| {
        let mut jwk = ed.jwk("ed");
        jwk.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        jwk
    };
    for useless in [
        with(json!({ "use": "enc" })),
        with(json!({ "key_ops": ["encrypt"] })),
        with(json!({ "alg": "HS256" })),
        with(json!({ "crv": "X25519" })),
        json!({ "kty": "oct", "kid": "ed", "k": "c2VjcmV0", "alg": "HS256" }),
        json!({ "kty": "RSA", "kid": "ed", "n": "AQAB", "e": "AQAB" }),
        json!({ "kty": "new" }),
        json!("no key"),
    ] {
        let (authenticator, _, _folder) = with_keys(&[useless.clone(), Pair::ec().jwk("ec")], None);
        assert_eq!(refused(&authenticator, &ed.token("ed")).await, "KEY_UNKNOWN", "{useless}");
    }
}

#[tokio::test]
async fn a_file_is_read_again_when_it_has_changed() {
    let (old, new) = (Pair::ed(), Pair::ed());
    let (authenticator, clock, folder) = with_keys(&[old.jwk("old")], None);
    assert!(authenticator.authenticate_token(&old.token("old"), None).await.is_ok());
    let path = folder.path().join("keys.json");
    std::fs::write(&path, "not yet all of it, which is no reason to forget the old ones").expect("a file");
    clock.advance(Duration::from_secs(1));
    assert!(authenticator.authenticate_token(&old.token("old"), None).await.is_ok());
    std::fs::write(&path, key_set(&[new.jwk("new")]).to_string()).expect("a file");
    clock.advance(Duration::from_secs(1));
    assert!(authenticator.authenticate_token(&new.token("new"), None).await.is_ok());
    assert_eq!(refused(&authenticator, &old.token("old")).await, "KEY_UNKNOWN");
}

fn request(name: &str, lifetime: Duration) -> TokenRequest {
    TokenRequest {
        name: name.into(),
        scopes: vec![Scope::Query, Scope::Admin],
        subjects: Some(vec!["pump-*".into()]),
        sources: None,
        audience: "cornjacket".into(),
        issuer: None,
        lifetime,
    }
}

#[tokio::test]
async fn a_minted_token_is_good_and_one_that_would_not_be_is_not_minted() {
    let (authenticator, clock) = started(&options());
    for lifetime in [DEFAULT_LIFETIME, crate::LONGEST_LIFETIME] {
        let token = mint(&SECRET.into(), &request("me", lifetime), clock.now()).expect("it is minted");
        let caller = authenticator.authenticate_token(&token, None).await.expect("a good token");
        let expected = Caller::new("me", &[Scope::Query, Scope::Admin])
            .limited_to(Patterns::Any(vec!["pump-*".into()]), Patterns::All)
            .until(clock.now() + lifetime);
        assert_eq!(caller, expected);
    }
    let long = crate::LONGEST_LIFETIME + Duration::from_secs(1);
    let refuse = |secret: &str, request: &TokenRequest| mint(&secret.into(), request, clock.now()).err();
    assert!(matches!(refuse(SECRET, &request("me", long)), Some(AuthError::Lifetime)));
    assert!(matches!(refuse(SECRET, &request("me", Duration::ZERO)), Some(AuthError::Lifetime)));
    assert!(matches!(refuse(SECRET, &request("", DEFAULT_LIFETIME)), Some(AuthError::Name)));
    assert!(matches!(refuse("short", &request("me", DEFAULT_LIFETIME)), Some(AuthError::ShortSecret(5))));
}
