use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use cornjacket_domain::{Clock, SystemClock};
use standardwebhooks::Webhook;

use super::*;

const BODY: &[u8] = r#"{"text":"zu heiß"}"#.as_bytes();

fn key(signing: Signing) -> Key {
    Key::generate(signing).expect("a key")
}

fn text(headers: &HeaderMap, name: &HeaderName) -> String {
    headers[name].to_str().expect("ASCII").to_owned()
}

#[test]
fn the_reference_library_verifies_what_shared_keys_sign() -> anyhow::Result<()> {
    let (new, old) = (key(Signing::Hmac), key(Signing::Unspecified));
    let headers = sign(&[key(Signing::Ed25519), new, old], "d1", SystemClock.now(), BODY)?;
    assert_eq!(text(&headers, &SIGNATURE).split(' ').count(), 3);
    let keys = [key(Signing::Hmac), key(Signing::Hmac)];
    let headers = sign(&keys, "d1", SystemClock.now(), BODY)?;
    for key in &keys {
        let webhook = Webhook::new(key.secret().expose_secret())?;
        webhook.verify(BODY, &headers)?;
        assert!(webhook.verify(b"{}", &headers).is_err(), "another body");
        let mut other = headers.clone();
        other.insert(ID, HeaderValue::from_static("d2"));
        assert!(webhook.verify(BODY, &other).is_err(), "another id");
    }
    let stranger = Webhook::new(self::key(Signing::Hmac).secret().expose_secret())?;
    assert!(stranger.verify(BODY, &headers).is_err(), "another key");
    Ok(())
}

/// The example of the specification's own library.
#[test]
fn the_known_answer_is_ours() -> anyhow::Result<()> {
    let key = Key::parse(&"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".into())?;
    let now = Timestamp::from_micros(1_649_367_553_999_999);
    let body = br#"{"email":"test@example.com","username":"test_user"}"#;
    let headers = sign(&[key], "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", now, body)?;
    assert_eq!(text(&headers, &TIMESTAMP), "1649367553");
    assert_eq!(text(&headers, &SIGNATURE), "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
    Ok(())
}

#[test]
fn the_public_key_verifies_what_the_private_one_signs() -> anyhow::Result<()> {
    let key = key(Signing::Ed25519);
    let public = key.public().expect("a public key");
    let public = STANDARD.decode(public.strip_prefix("whpk_").expect("its prefix"))?;
    let headers = sign(&[Key::parse(&key.secret())?], "d1", Timestamp::from_micros(7_000_000), BODY)?;
    let signature = text(&headers, &SIGNATURE);
    let signature = STANDARD.decode(signature.strip_prefix("v1a,").expect("its version"))?;
    let signed = [b"d1.7.", BODY].concat();
    let verifies = |signed: &[u8]| UnparsedPublicKey::new(&ED25519, &public).verify(signed, &signature);
    assert!(verifies(&signed).is_ok());
    assert!(verifies(b"d1.8.").is_err());
    Ok(())
}

#[test]
fn keys_come_back_from_their_secrets_and_never_show_them() -> anyhow::Result<()> {
    for (signing, prefix) in [(Signing::Hmac, "whsec_"), (Signing::Ed25519, "whsk_")] {
        let (key, other) = (key(signing), key(signing));
        let secret = key.secret();
        assert!(secret.expose_secret().starts_with(prefix));
        assert_ne!(secret.expose_secret(), other.secret().expose_secret(), "twice the same");
        let back = Key::parse(&secret)?;
        assert_eq!(back.secret().expose_secret(), secret.expose_secret());
        assert_eq!(back.public(), key.public());
        let (_, hidden) = secret.expose_secret().split_once('_').expect("a prefix");
        assert!(!format!("{key:?} {secret:?}").contains(hidden));
    }
    Ok(())
}

#[test]
fn what_is_no_key_is_refused_with_the_reason() {
    let of = |prefix: &str, bytes: usize| format!("{prefix}{}", STANDARD.encode(vec![7; bytes]));
    for (text, said) in [
        (String::new(), SigningError::Prefix),
        (of("whpk_", 32), SigningError::Prefix),
        ("whsec_***".to_owned(), SigningError::Base64),
        (of("whsec_", 23), SigningError::Length(23)),
        (of("whsec_", 65), SigningError::Length(65)),
        (of("whsk_", 32), SigningError::Pair),
        (of("whsk_", 64), SigningError::Pair),
    ] {
        assert_eq!(Key::parse(&text.clone().into()).map(drop), Err(said), "{text}");
    }
    assert!(Key::parse(&of("whsec_", 24).into()).is_ok() && Key::parse(&of("whsec_", 64).into()).is_ok());
}

#[test]
fn an_id_cannot_reach_into_what_is_signed_behind_it() {
    let keys = [key(Signing::Hmac)];
    for id in ["", "a.b", "a b", "a\r\nx: y", "é"] {
        assert_eq!(sign(&keys, id, Timestamp::default(), BODY), Err(SigningError::Id), "{id:?}");
    }
    assert_eq!(sign(&[], "a", Timestamp::default(), BODY), Err(SigningError::NoKey));
}
