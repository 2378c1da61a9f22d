//! Logins that failed, so that nobody guesses passwords at leisure.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What is counted together.
const WINDOW: Duration = Duration::from_mins(1);
/// Failures of one name from one address in that time. Below that of an address: a device with a wrong password must not
/// shut out others behind its router.
const OF_NAME: u32 = 10;
/// Failures of one address.
const OF_ADDRESS: u32 = 60;
/// What is counted apart at once; beyond it, new ones share a count.
const MOST: usize = 50_000;

/// An address, and a name or all of them.
type Key = (Option<IpAddr>, Option<String>);

/// How often logins failed, and since when.
#[derive(Debug, Default)]
pub struct Failures(Mutex<HashMap<Key, (Instant, u32)>>);

impl Failures {
    /// Whether there were so many that this one is not looked at.
    pub fn is_over(&self, address: IpAddr, name: &str) -> bool {
        let (all, now) = (self.0.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        keys(address, name).into_iter().any(|(key, most)| {
            let counted = all.get(&key).filter(|(since, _)| now < *since + WINDOW);
            counted.is_some_and(|(_, count)| *count >= most)
        })
    }

    /// Counts one.
    pub fn note(&self, address: IpAddr, name: &str) {
        metrics::counter!("cornjacket_mqtt_logins_refused_total").increment(1);
        let (mut all, now) = (self.0.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        if all.len() >= MOST {
            all.retain(|_, (since, _)| now < *since + WINDOW);
        }
        for (key, _) in keys(address, name) {
            let key = if all.len() < MOST || all.contains_key(&key) { key } else { (None, None) };
            let (since, count) = all.entry(key).or_insert((now, 0));
            if now >= *since + WINDOW {
                (*since, *count) = (now, 0);
            }
            *count += 1;
        }
    }
}

fn keys(address: IpAddr, name: &str) -> [(Key, u32); 2] {
    let address = Some(network(address));
    [((address, Some(name.to_owned())), OF_NAME), ((address, None), OF_ADDRESS)]
}

/// The part of an address that one customer has: of IPv6, the first 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_guesses_waits_and_others_do_not() {
        let failures = Failures::default();
        let (one, other): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        for _ in 0..OF_NAME {
            assert!(!failures.is_over(one, "pump-7"));
            failures.note(one, "pump-7");
        }
        assert!(failures.is_over(one, "pump-7"));
        assert!(!failures.is_over(one, "pump-8"), "another device behind the same router");
        assert!(!failures.is_over(other, "pump-7"), "the device itself, elsewhere");
        for name in 0..OF_ADDRESS - OF_NAME {
            failures.note(one, &name.to_string());
        }
        assert!(failures.is_over(one, "pump-8"), "all names of an address together");
        tokio::time::advance(WINDOW).await;
        assert!(!failures.is_over(one, "pump-7"));
    }
}
