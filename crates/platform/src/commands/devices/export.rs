//! Accounts in the formats of Mosquitto 2 and EMQX 5.

use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cornjacket_proto::admin::DeviceCredentials;
use serde_json::json;

/// Who may read everything: the account that Cornjacket itself connects with. It is no device.
const READER: &str = "cornjacket";

/// What devices may do with Mosquitto: write and read below their own name, which `%u` stands for. What no rule allows is
/// denied.
const ACL: &str = "\
# Written by `cornjacket devices export`.
pattern write cornjacket/v1/%u/#
pattern read cornjacket/v1/%u/#

# The account that Cornjacket connects with; `mosquitto_passwd passwords cornjacket` sets its password.
user cornjacket
topic read cornjacket/v1/#
";

/// Writes `passwords` and `acl` into `folder`. Lines of accounts that are no devices stay in `passwords`, such as
/// Cornjacket's own.
pub fn to_mosquitto(folder: &Path, devices: &[DeviceCredentials]) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let passwords = folder.join("passwords");
    let known = match fs::read_to_string(&passwords) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        read => read.with_context(|| passwords.display().to_string())?,
    };
    let own = known.lines().filter(|line| line.starts_with(&format!("{READER}:")));
    let own = own.map(|line| format!("{line}\n")).collect::<Vec<_>>().concat();
    write(&passwords, &(own + &passwords_of(devices)))?;
    write(&folder.join("acl"), ACL)
}

/// A line each: `name:$7$iterations$salt$hash`, both in Base64.
fn passwords_of(devices: &[DeviceCredentials]) -> String {
    let devices = devices.iter().filter(|device| device.name != READER);
    devices.fold(String::new(), |mut text, DeviceCredentials { name, salt, iterations, hash }| {
        let (salt, hash) = (STANDARD.encode(salt), STANDARD.encode(hash));
        writeln!(text, "{name}:$7${iterations}${salt}${hash}").expect("a String takes all");
        text
    })
}

/// Writes the bootstrap file of EMQX's built-in database.
pub fn to_emqx(file: &Path, devices: &[DeviceCredentials]) -> anyhow::Result<()> {
    write(file, &users_of(devices)?)
}

/// A JSON array. The number of iterations is not in it: EMQX has one for all, in its configuration.
fn users_of(devices: &[DeviceCredentials]) -> anyhow::Result<String> {
    let iterations = devices.first().map(|device| device.iterations);
    let odd = devices.iter().find(|device| Some(device.iterations) != iterations);
    if let (Some(odd), Some(iterations)) = (odd, iterations) {
        let (name, other) = (&odd.name, odd.iterations);
        anyhow::bail!(
            "EMQX needs one number of iterations for all, but {name:?} has {other} and others {iterations}: \
             add it anew"
        );
    }
    let users = devices.iter().filter(|device| device.name != READER).map(|device| {
        let hash = device.hash.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        json!({
            "user_id": device.name,
            "password_hash": hash,
            "salt": device.salt,
            "is_superuser": false,
        })
    });
    Ok(serde_json::to_string_pretty(&users.collect::<Vec<_>>())? + "\n")
}

/// Whole or not at all, and for nobody else on this machine: hashes can be guessed at.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let unfinished = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished);
    let mut file = file.with_context(|| unfinished.display().to_string())?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, path).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use cornjacket_store::PasswordHash;

    use super::*;

    fn credentials(name: &str, password: &str) -> DeviceCredentials {
        let hash = PasswordHash::new(password.as_bytes(), "abcdefghijkl".into());
        DeviceCredentials {
            name: name.into(),
            salt: hash.salt,
            iterations: hash.iterations,
            hash: hash.hash.into(),
        }
    }

    /// Written by `mosquitto_passwd` 2.0.11 for the password `correct horse`; one of few whose salt is ASCII.
    const OF_MOSQUITTO: &str = "pump-7:$7$101$cV5nUGQOcScMbC9f$\
        lO4IOQ3EA8m3zGZa7pc7lhRS1IlbnwSRPKfTobgMmGKu+nj3MSG7+js0Rkv5zVLDDwzpgZffbm2E9ra8aD/S3A==";

    #[test]
    fn a_line_is_the_one_that_mosquitto_writes() {
        let parts: Vec<&str> = OF_MOSQUITTO.split('$').collect();
        let hash = STANDARD.decode(parts[4]).expect("Base64");
        let salt = String::from_utf8(STANDARD.decode(parts[3]).expect("Base64")).expect("ASCII");
        assert_eq!(salt.len(), cornjacket_store::devices::SALT_BYTES);
        let theirs = PasswordHash { salt, iterations: 101, hash };
        assert!(theirs.fits(b"correct horse"));
        let PasswordHash { salt, iterations, hash } = theirs;
        let ours = DeviceCredentials { name: "pump-7".into(), salt, iterations, hash: hash.into() };
        assert_eq!(passwords_of(&[ours]), format!("{OF_MOSQUITTO}\n"));
    }

    #[test]
    fn emqx_gets_salts_as_text_and_hashes_as_hexadecimal() {
        let users = users_of(&[credentials("pump-7", "correct horse")]).expect("one number of iterations");
        let users: serde_json::Value = serde_json::from_str(&users).expect("JSON");
        assert_eq!(users[0]["user_id"], "pump-7");
        assert_eq!(users[0]["salt"], "abcdefghijkl");
        assert_eq!(users[0]["password_hash"].as_str().map(str::len), Some(128));
        let odd = DeviceCredentials { iterations: 7, ..credentials("pump-8", "x") };
        let refused = users_of(&[credentials("pump-7", "x"), odd]).expect_err("two numbers");
        assert!(refused.to_string().contains("pump-8"), "{refused}");
    }

    #[test]
    fn accounts_that_are_no_devices_stay() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let passwords = folder.path().join("passwords");
        fs::write(&passwords, "cornjacket:$7$own\npump-6:$7$gone\n").expect("written");
        to_mosquitto(folder.path(), &[credentials("pump-7", "x")]).expect("written");
        let text = fs::read_to_string(&passwords).expect("there");
        assert!(text.starts_with("cornjacket:$7$own\npump-7:$7$"), "{text}");
        assert!(!text.contains("pump-6"), "{text}");
    }
}
