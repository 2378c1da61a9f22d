//! `AddDevice`: an account for a device.

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cornjacket_domain::Caller;
use cornjacket_domain::clean::clean_text;
use cornjacket_proto::admin::{AddDeviceRequest, AddDeviceResponse, Device};
use cornjacket_proto::status::{ErrorKind, Failure};
use cornjacket_store::PasswordHash;
use tonic::Request;

use super::{Action, AdminRpc};
use crate::rpc::{invalid, printable, required, store_failed};

/// What a password may have that somebody chose, in bytes.
const PASSWORD_BYTES: std::ops::RangeInclusive<usize> = 12..=256;
/// Characters of a subject at the most.
const LONGEST_NAME: usize = 256;

pub(super) async fn add_device(
    rpc: &AdminRpc,
    request: Request<AddDeviceRequest>,
) -> Result<AddDeviceResponse, Failure> {
    let caller = Caller::of(request.extensions())?;
    let AddDeviceRequest { name, password } = request.into_inner();
    let name = name_of(name)?;
    authorize(&caller, &name)?;
    let password = password_of(password)?;
    if rpc.devices.find(&name).await.map_err(|error| store_failed(&error))?.is_some() {
        return Err(exists(&name));
    }
    rpc.audit(&Action::new(&caller, "add", format!("devices/{name}"))).await?;
    let device = cornjacket_store::Device {
        password: hash_of(password.clone()).await?,
        name,
        created_at: rpc.clock.now(),
    };
    if !rpc.devices.add(&device).await.map_err(|error| store_failed(&error))? {
        return Err(exists(&device.name));
    }
    Ok(AddDeviceResponse { device: Some(to_proto(device)), password })
}

/// The name of a device, clean. It is one level of a topic, a line's beginning in Mosquitto's file of passwords, and no
/// pattern.
pub(super) fn name_of(mut name: String) -> Result<String, Failure> {
    clean_text(&mut name);
    required("name", &name)?;
    printable("name", &name)?;
    if name.chars().count() > LONGEST_NAME {
        return Err(invalid("name", "has more than 256 characters", "TOO_LONG"));
    }
    if name.contains(['+', '#', '/', '*', ':']) {
        return Err(invalid("name", "has one of `+`, `#`, `/`, `*` and `:`", "GRAMMAR"));
    }
    Ok(name)
}

/// Whether a device may be the caller's business: it writes about its own name and what is below it, as a source that is
/// named after the subject. No subject of a device has a star, so that one stands for all below.
pub(super) fn authorize(caller: &Caller, name: &str) -> Result<(), Failure> {
    [name.to_owned(), format!("{name}/*")]
        .iter()
        .try_for_each(|subject| caller.authorize_event(subject, &format!("mqtt:{subject}")))
}

pub(super) fn to_proto(device: cornjacket_store::Device) -> Device {
    Device { name: device.name, create_time: Some(device.created_at.to_proto()) }
}

fn password_of(given: String) -> Result<String, Failure> {
    if given.is_empty() {
        return random_text::<32>();
    }
    printable("password", &given)?;
    if PASSWORD_BYTES.contains(&given.len()) {
        Ok(given)
    } else {
        Err(invalid("password", "must have 12 to 256 bytes", "LENGTH"))
    }
}

/// On a thread of its own kind: it takes long on purpose.
async fn hash_of(password: String) -> Result<PasswordHash, Failure> {
    let salt = random_text::<SALT_RANDOM>()?;
    let hashing = tokio::task::spawn_blocking(move || PasswordHash::new(password.as_bytes(), salt));
    hashing.await.map_err(|_| Failure::new(ErrorKind::Internal, "the password could not be hashed"))
}

/// As many random bytes as make a salt when they are text.
const SALT_RANDOM: usize = cornjacket_store::devices::SALT_BYTES / 4 * 3;

fn random_text<const BYTES: usize>() -> Result<String, Failure> {
    let mut bytes = [0; BYTES];
    rand::fill(&mut bytes).map_err(|_| Failure::new(ErrorKind::Internal, "there are no random numbers"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn exists(name: &str) -> Failure {
    Failure::new(ErrorKind::AlreadyExists, format!("there is a device {name:?} already"))
        .with_reason("DEVICE_EXISTS", [])
}

#[cfg(test)]
mod tests {
    use cornjacket_domain::{Patterns, Scope};

    use super::*;

    #[test]
    fn a_name_is_one_level_of_a_topic() {
        assert_eq!(name_of(" pump-7 ".into()).expect("a name"), "pump-7");
        assert_eq!(name_of("cafe\u{301}".into()).expect("a name"), "café");
        for bad in ["", " ", "a/b", "a+", "#", "a*", "user:x", "a\nb", &"x".repeat(257)] {
            assert!(name_of(bad.into()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_password_is_long_or_made() {
        assert_eq!(password_of("correct horse".into()).expect("long enough"), "correct horse");
        assert!(password_of("short".into()).is_err());
        assert!(password_of("with a\nline break".into()).is_err());
        let (one, other) = (password_of(String::new()), password_of(String::new()));
        let (one, other) = (one.expect("made"), other.expect("made"));
        assert_eq!(one.len(), 43);
        assert_ne!(one, other);
        assert_eq!(random_text::<SALT_RANDOM>().expect("made").len(), cornjacket_store::devices::SALT_BYTES);
    }

    #[test]
    fn who_is_limited_adds_what_it_may_write() {
        let limited = |subjects: &str, sources: &str| {
            let patterns = |text: &str| Patterns::Any(vec![text.to_owned()]);
            Caller::new("x", &[Scope::Admin]).limited_to(patterns(subjects), patterns(sources))
        };
        assert!(authorize(&limited("pump-*", "*"), "pump-7").is_ok());
        assert!(authorize(&limited("pump-*", "mqtt:*"), "pump-7").is_ok());
        assert!(authorize(&limited("pump-*", "*"), "valve-7").is_err());
        assert!(authorize(&limited("pump-7", "*"), "pump-7").is_err(), "not what is below it");
        assert!(authorize(&limited("pump-*", "line-1"), "pump-7").is_err());
    }
}
