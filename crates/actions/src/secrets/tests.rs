use proptest::prelude::*;

use super::*;

fn key(byte: u8) -> SecretString {
    STANDARD.encode([byte; KEY_BYTES]).into()
}

fn secrets(keys: &[u8]) -> Secrets {
    Secrets::new(&keys.iter().copied().map(key).collect::<Vec<_>>()).expect("keys")
}

fn opened(secrets: &Secrets, endpoint: &str, envelope: &[u8]) -> Result<String, SecretsError> {
    secrets.open(endpoint, envelope).map(|secret| secret.expose_secret().to_owned())
}

#[test]
fn a_secret_opens_with_its_key_for_its_endpoint_alone() -> anyhow::Result<()> {
    let secrets = secrets(&[1]);
    let envelope = secrets.seal("pager", &"whsec_abc".into())?;
    assert_eq!(opened(&secrets, "pager", &envelope)?, "whsec_abc");
    assert_eq!(opened(&secrets, "page", &envelope), Err(SecretsError::Damaged));
    assert!(!envelope.windows(5).any(|window| window == b"whsec"), "not sealed");
    assert_ne!(secrets.seal("pager", &"whsec_abc".into())?, envelope, "twice the same nonce");
    Ok(())
}

#[test]
fn a_new_key_seals_and_the_old_ones_open() -> anyhow::Result<()> {
    let (old, both, new) = (secrets(&[1]), secrets(&[2, 1]), secrets(&[2]));
    let envelope = old.seal("pager", &"a".into())?;
    assert_eq!(opened(&both, "pager", &envelope)?, "a");
    assert!(both.is_outdated(&envelope) && !old.is_outdated(&envelope));
    let error = opened(&new, "pager", &envelope).expect_err("another key");
    assert_eq!(error, SecretsError::OtherKey(old.first.id, vec![new.first.id]));
    let said = error.to_string();
    assert!(said.contains(&old.first.id.to_string()) && said.contains(&new.first.id.to_string()), "{said}");
    let again = both.seal("pager", &"a".into())?;
    assert_eq!(opened(&new, "pager", &again)?, "a");
    Ok(())
}

/// An envelope of version 1 opens for ever. This one was made by Node.js's crypto module.
#[test]
fn an_old_envelope_opens() -> anyhow::Result<()> {
    let envelope = STANDARD.decode("AUB8J375uDiDAAECAwQFBgcICQoLzM7mQ0OhZxudLo8/zs2DZt8j9USisSA+1w==")?;
    assert_eq!(opened(&secrets(&[1]), "pager", &envelope)?, "whsec_abc");
    Ok(())
}

#[test]
fn a_bad_key_is_named() {
    let bad = |keys: &[SecretString]| Secrets::new(keys).map(drop);
    assert_eq!(bad(&[]), Err(SecretsError::NoKey));
    for text in ["", "short", &STANDARD.encode([0; 31]), &STANDARD.encode([0; 33])] {
        assert_eq!(bad(&[key(1), text.into()]), Err(SecretsError::BadKey(2)), "{text}");
    }
    let spaced = format!(" {}\n", key(1).expose_secret());
    assert_eq!(bad(&[spaced.into()]), Ok(()), "as files end");
}

#[test]
fn a_newer_envelope_is_said_to_be_one() {
    assert_eq!(opened(&secrets(&[1]), "pager", &[2, 0, 0]), Err(SecretsError::Version(2)));
}

#[test]
fn nothing_shows_a_key() {
    let shown = format!("{:?}", secrets(&[1, 2]));
    assert!(!shown.contains(key(1).expose_secret()) && shown.len() < 100, "{shown}");
}

proptest! {
    #[test]
    fn what_was_changed_anywhere_does_not_open(at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let secrets = secrets(&[1]);
        let mut envelope = secrets.seal("pager", &"whsec_abc".into()).expect("sealed");
        let at = at.index(envelope.len());
        prop_assert!(secrets.open("pager", &envelope[..at]).is_err());
        envelope[at] ^= 1 << bit;
        prop_assert!(secrets.open("pager", &envelope).is_err());
    }
}
