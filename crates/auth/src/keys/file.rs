//! Keys from a file that may change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use cornjacket_domain::{Clock, Timestamp};
use tokio::sync::Mutex;

use super::{KeySet, is_over, jwks};
use crate::AuthError;

/// How long a change may go unnoticed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The keys of a file. One that cannot be read leaves the keys as they were.
#[derive(Debug)]
pub struct FileKeys {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    keys: RwLock<Arc<KeySet>>,
    /// Whoever holds it looks; others go on with the keys that there are.
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    looked: Timestamp,
    version: Version,
}

/// What tells one content of a file from the next.
type Version = (SystemTime, u64);

impl FileKeys {
    /// Reads the file.
    pub fn open(path: PathBuf, clock: Arc<dyn Clock>) -> Result<Self, AuthError> {
        let read = || {
            let version = version(&std::fs::metadata(&path)?)?;
            Ok::<_, std::io::Error>((version, std::fs::read(&path)?))
        };
        let refused = |why: String| AuthError::File { path: path.clone(), why };
        let (version, document) = read().map_err(|error| refused(error.to_string()))?;
        let keys = KeySet::default().followed_by(jwks::parse(&document).map_err(refused)?);
        let seen = Mutex::new(Seen { looked: clock.now(), version });
        Ok(Self { path, clock, keys: RwLock::new(keys), seen })
    }

    /// The keys, read again if the file has changed.
    pub async fn current(&self) -> Arc<KeySet> {
        if let Ok(mut seen) = self.seen.try_lock() {
            let now = self.clock.now();
            if is_over(seen.looked, LOOK_AGAIN, now) {
                seen.looked = now;
                self.look(&mut seen.version).await;
            }
        }
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn look(&self, seen: &mut Version) {
        match read(&self.path, *seen).await {
            Ok(None) => {}
            Ok(Some((version, document))) => {
                *seen = version;
                self.take(&document);
            }
            Err(error) => tracing::warn!(%error, path = %self.path.display(), "the key file cannot be read"),
        }
    }

    fn take(&self, document: &[u8]) {
        match jwks::parse(document) {
            Ok(keys) => {
                let mut current = self.keys.write().unwrap_or_else(PoisonError::into_inner);
                *current = current.followed_by(keys);
                tracing::info!(path = %self.path.display(), "the key file was read again");
            }
            Err(why) => tracing::error!(why, path = %self.path.display(), "the key file has no keys"),
        }
    }
}

fn version(metadata: &std::fs::Metadata) -> std::io::Result<Version> {
    Ok((metadata.modified()?, metadata.len()))
}

/// The file's content, if it is another version than the one that was seen.
async fn read(path: &Path, seen: Version) -> std::io::Result<Option<(Version, Vec<u8>)>> {
    let version = version(&tokio::fs::metadata(path).await?)?;
    if version == seen {
        return Ok(None);
    }
    Ok(Some((version, tokio::fs::read(path).await?)))
}
