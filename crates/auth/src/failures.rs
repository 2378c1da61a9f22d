//! What is refused: counted, and limited for each address, so that nobody guesses at leisure.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cornjacket_proto::status::{ErrorKind, Failure};
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

use crate::Options;
use crate::refusal::Refusal;

/// Addresses that are told apart at once. Beyond them, all new failures share one budget.
const MOST_ADDRESSES: usize = 50_000;

/// How often addresses are forgotten that have their whole budget back.
const SWEEP_MILLIS: u64 = 1_000;

type Limiter = RateLimiter<Address, HashMapStateStore<Address>, Uptime, NoOpMiddleware<Duration>>;

/// Who shares a budget; those whose address is not known share one.
type Address = Option<IpAddr>;

/// Turns refusals into what the caller is told.
pub struct Failures {
    limiter: Limiter,
    /// When addresses were last forgotten, in milliseconds.
    swept: AtomicU64,
}

impl fmt::Debug for Failures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Failures").field("addresses", &self.limiter.len()).finish_non_exhaustive()
    }
}

impl Failures {
    /// With the budget of the options.
    pub fn new(options: &Options) -> Self {
        let quota = Quota::per_minute(options.failures_per_minute).allow_burst(options.failure_burst);
        let limiter = RateLimiter::hashmap_with_clock(quota, Uptime(Instant::now()));
        Self { limiter, swept: AtomicU64::default() }
    }

    /// What the caller is told of a refusal: the reason, or to wait once the budget of its address is spent.
    pub fn answer(&self, refusal: Refusal, client: Option<IpAddr>) -> Failure {
        metrics::counter!("cornjacket_auth_failures_total", "reason" => refusal.reason()).increment(1);
        tracing::debug!(reason = refusal.reason(), client = ?client, "a token was refused");
        if refusal.is_outage() {
            return refusal.into();
        }
        match self.limiter.check_key(&self.address(client)) {
            Ok(()) => refusal.into(),
            Err(not_until) => {
                let wait = not_until.wait_time_from(self.limiter.clock().now());
                Failure::new(ErrorKind::Exhausted, "too many tokens of this address were refused")
                    .with_reason("TOO_MANY_FAILURES", [])
                    .with_retry_after(wait)
            }
        }
    }

    fn address(&self, client: Option<IpAddr>) -> Address {
        self.sweep();
        if self.limiter.len() < MOST_ADDRESSES { client.map(network) } else { None }
    }

    fn sweep(&self) {
        let now = u64::try_from(self.limiter.clock().now().as_millis()).unwrap_or(u64::MAX);
        let swept = self.swept.load(Ordering::Relaxed);
        if now.saturating_sub(swept) >= SWEEP_MILLIS {
            self.swept.store(now, Ordering::Relaxed);
            self.limiter.retain_recent();
        }
    }
}

/// The part of an address that one customer has: of IPv6, the first 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// The time since it was made. Budgets are not about when something was, only about how long ago: a clock that is set
/// back must not make everybody wait until it has caught up.
#[derive(Clone, Debug)]
struct Uptime(Instant);

impl Clock for Uptime {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use cornjacket_proto::google::rpc::RetryInfo;

    use super::*;
    use crate::testing::{detail, reason};

    fn started() -> Failures {
        Failures::new(&Options::default())
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_has_spent_its_budget_is_told_to_wait() {
        let failures = started();
        let client = Some(address("192.0.2.1"));
        for _ in 0..60 {
            assert_eq!(failures.answer(Refusal::Expired, client), Refusal::Expired.into());
        }
        let limited = failures.answer(Refusal::Expired, client);
        assert_eq!((limited.kind(), reason(&limited).as_str()), (ErrorKind::Exhausted, "TOO_MANY_FAILURES"));
        let wait = detail::<RetryInfo>(&limited).expect("when to try again").retry_delay.expect("a delay");
        assert_eq!((wait.seconds, wait.nanos), (1, 0));
        assert_eq!(failures.answer(Refusal::Expired, Some(address("192.0.2.2"))), Refusal::Expired.into());
        assert_eq!(failures.answer(Refusal::Expired, None), Refusal::Expired.into());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(failures.answer(Refusal::Expired, client), Refusal::Expired.into());
        assert_eq!(failures.answer(Refusal::Expired, client).kind(), ErrorKind::Exhausted);
    }

    #[test]
    fn an_outage_is_nobodys_failure() {
        let failures = started();
        for _ in 0..200 {
            let answer = failures.answer(Refusal::KeysUnavailable, None);
            assert_eq!(answer.kind(), ErrorKind::Unavailable);
        }
        assert_eq!(failures.answer(Refusal::Missing, None).kind(), ErrorKind::Unauthenticated);
    }

    #[test]
    fn a_network_of_one_customer_has_one_budget() {
        let failures = started();
        for number in 0..60 {
            failures.answer(Refusal::Missing, Some(address(&format!("2001:db8::{number}"))));
        }
        let limited = failures.answer(Refusal::Missing, Some(address("2001:db8::ffff:0:0:1")));
        assert_eq!(limited.kind(), ErrorKind::Exhausted);
        let other = failures.answer(Refusal::Missing, Some(address("2001:db8:0:1::1")));
        assert_eq!(other.kind(), ErrorKind::Unauthenticated);
        assert_eq!(network(address("::ffff:192.0.2.1")), IpAddr::from([192, 0, 2, 1]));
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_are_forgotten_and_never_without_end() {
        let failures = started();
        let most = u32::try_from(MOST_ADDRESSES).expect("a small number");
        for number in 0..most + 1000 {
            failures.answer(Refusal::Missing, Some(IpAddr::from(number.to_be_bytes())));
        }
        assert!(failures.limiter.len() <= MOST_ADDRESSES + 1, "{failures:?}");
        tokio::time::advance(Duration::from_mins(2)).await;
        failures.answer(Refusal::Missing, None);
        assert_eq!(failures.limiter.len(), 1);
    }
}
