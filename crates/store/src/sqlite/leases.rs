//! Leases with SQLite, which one process has open: they last as long as it does, and are kept in its memory.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::StoreError;
use crate::leases::Leases;

/// Leases within this process.
#[derive(Debug, Default)]
pub struct SqliteLeases(Mutex<HashMap<String, Held>>);

#[derive(Debug)]
struct Held {
    generation: i64,
    /// Nothing once it was given back.
    until: Option<Instant>,
}

impl SqliteLeases {
    fn with<T>(&self, what: impl FnOnce(&mut HashMap<String, Held>) -> T) -> T {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Leases for SqliteLeases {
    async fn claim(&self, name: &str, _holder: &str, ttl: Duration) -> Result<Option<i64>, StoreError> {
        let now = Instant::now();
        Ok(self.with(|leases| {
            let held = leases.entry(name.to_owned()).or_insert(Held { generation: 0, until: None });
            if held.until.is_some_and(|until| until > now) {
                return None;
            }
            *held = Held { generation: held.generation + 1, until: Some(now + ttl) };
            Some(held.generation)
        }))
    }

    async fn keep(&self, name: &str, generation: i64, ttl: Duration) -> Result<bool, StoreError> {
        let until = Instant::now() + ttl;
        Ok(self.with(|leases| {
            let ours =
                leases.get_mut(name).filter(|held| held.generation == generation && held.until.is_some());
            ours.map(|held| held.until = Some(until)).is_some()
        }))
    }

    async fn release(&self, name: &str, generation: i64) -> Result<(), StoreError> {
        self.with(|leases| {
            if let Some(held) = leases.get_mut(name).filter(|held| held.generation == generation) {
                held.until = None;
            }
        });
        Ok(())
    }
}
