//! Doors with SQLite, which one process has open: they are its own, and are kept in its memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;

use crate::StoreError;
use crate::doors::{Door, Doors};

/// Doors of this process, by name: of which kind each is, and when it said that it is open.
#[derive(Debug, Default)]
pub struct SqliteDoors(Mutex<BTreeMap<String, (String, Instant)>>);

impl SqliteDoors {
    fn with<T>(&self, what: impl FnOnce(&mut BTreeMap<String, (String, Instant)>) -> T) -> T {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Doors for SqliteDoors {
    async fn open(&self, kind: &str, name: &str) -> Result<(), StoreError> {
        self.with(|doors| doors.insert(name.to_owned(), (kind.to_owned(), Instant::now())));
        Ok(())
    }

    async fn list(&self) -> Result<Vec<Door>, StoreError> {
        let door = |(name, (kind, at)): (&String, &(String, Instant))| Door {
            name: name.clone(),
            kind: kind.clone(),
            silent_for: at.elapsed(),
        };
        Ok(self.with(|doors| doors.iter().map(door).collect()))
    }

    async fn forget(&self, name: &str) -> Result<(), StoreError> {
        self.with(|doors| doors.remove(name));
        Ok(())
    }
}
