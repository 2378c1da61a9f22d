//! Looks every few seconds whether those who are connected still may be.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cornjacket_domain::Timestamp;
use cornjacket_store::StoreError;
use tokio::time::{MissedTickBehavior, interval};

use super::Shared;
use super::guests::Login;

/// How long somebody stays connected who is revoked, at the most.
const EVERY: Duration = Duration::from_secs(2);
/// Accounts that are read at once.
const PAGE: u32 = 1_000;

/// Cuts who was revoked, or whose token has ended. Does not end.
pub async fn make(shared: Arc<Shared>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let connected = shared.guests.connected();
        // During an outage nobody is cut: nothing is known to have changed.
        match accounts(&shared, &connected).await {
            Ok(accounts) => cut(&shared, connected, &accounts).await,
            Err(error) => tracing::warn!(%error, "cannot look for devices that were revoked"),
        }
    }
}

async fn cut(shared: &Shared, connected: Vec<(String, Arc<Login>)>, accounts: &HashMap<String, Timestamp>) {
    let now = shared.options.clock.now();
    for (client, login) in connected {
        let has_ended = login.caller.expires().is_some_and(|end| end <= now);
        // An account that was made anew is another one.
        let is_revoked = login.device_name().is_some_and(|name| accounts.get(name).copied() != login.account);
        if has_ended || is_revoked {
            tracing::info!(client, user = login.user, is_revoked, "a connection is ended");
            shared.cut(&client).await;
        }
    }
}

/// When the accounts of those devices were made that are connected; read in one go, however many they are.
async fn accounts(
    shared: &Shared,
    connected: &[(String, Arc<Login>)],
) -> Result<HashMap<String, Timestamp>, StoreError> {
    let mut wanted: Vec<&str> = connected.iter().filter_map(|(_, login)| login.device_name()).collect();
    wanted.sort_unstable();
    let mut found = HashMap::new();
    let (Some(first), Some(last)) = (wanted.first(), wanted.last()) else { return Ok(found) };
    if let Some(device) = shared.options.devices.find(first).await? {
        found.insert(device.name, device.created_at);
    }
    let mut after = (*first).to_owned();
    while after.as_str() < *last {
        let page = shared.options.devices.list(&after, PAGE).await?;
        let Some(end) = page.last() else { break };
        after.clone_from(&end.name);
        let page = page.into_iter().filter(|device| wanted.binary_search(&device.name.as_str()).is_ok());
        found.extend(page.map(|device| (device.name, device.created_at)));
    }
    Ok(found)
}
