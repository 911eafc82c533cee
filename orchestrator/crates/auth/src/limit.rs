//! How often somebody may try: per name and network, per network, and per name from anywhere.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock as _, Reference as _};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::authenticator::Clock;

/// Keys that are remembered before the idle ones are forgotten.
const KEYS: usize = 10_000;

/// Tries a minute; as many may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit(pub NonZeroU32);

impl RateLimit {
    /// So many a minute.
    ///
    /// # Panics
    /// On zero.
    pub const fn per_minute(count: u32) -> Self {
        Self(NonZeroU32::new(count).expect("a limit of zero lets nobody in"))
    }
}

/// The authenticator's clock for governor.
#[derive(Clone)]
struct Ticks(Clock);

impl governor::clock::Clock for Ticks {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        let millis = u64::try_from((self.0)().as_millis()).unwrap_or(0);
        Nanos::from(Duration::from_millis(millis))
    }
}

type Keyed<K> = RateLimiter<K, DashMapStateStore<K>, Ticks, NoOpMiddleware<Nanos>>;

/// A limiter with one bucket a key.
struct Limiter<K: std::hash::Hash + Eq + Clone>(Keyed<K>, Ticks);

impl<K: std::hash::Hash + Eq + Clone> Limiter<K> {
    fn new(limit: RateLimit, clock: &Clock) -> Self {
        let ticks = Ticks(std::sync::Arc::clone(clock));
        Self(RateLimiter::new(Quota::per_minute(limit.0), DashMapStateStore::default(), ticks.clone()), ticks)
    }

    /// How long to wait, if it is too often.
    fn check(&self, key: &K) -> Result<(), Duration> {
        if self.0.len() > KEYS {
            self.0.retain_recent();
        }
        self.0.check_key(key).map_err(|not_until| not_until.earliest_possible().duration_since(self.1.now()).into())
    }
}

/// The limits of log-ins. A stranger cannot lock a user out: what they use up is their own network's allowance for that
/// name; only the wide last limit is shared, against guessing from many places at once.
pub(crate) struct LoginLimits {
    pair: Limiter<(String, String)>,
    network: Limiter<String>,
    name: Limiter<String>,
}

impl LoginLimits {
    pub(crate) fn new(
        per_name: RateLimit,
        per_network: RateLimit,
        per_name_anywhere: RateLimit,
        clock: &Clock,
    ) -> Self {
        Self {
            pair: Limiter::new(per_name, clock),
            network: Limiter::new(per_network, clock),
            name: Limiter::new(per_name_anywhere, clock),
        }
    }

    /// Takes one try, or says how long to wait.
    pub(crate) fn check(&self, name: &str, address: &str) -> Result<(), Duration> {
        let network = network(address);
        self.network.check(&network)?;
        self.pair.check(&(name.to_owned(), network))?;
        self.name.check(&name.to_owned())
    }
}

/// An IPv4 address, or the /64 of an IPv6 one: a host has all of it.
fn network(address: &str) -> String {
    match address.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        Ok(IpAddr::V4(address)) => address.to_string(),
        Err(_) => address.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use updraft_model::time::Timestamp;

    use super::*;

    #[test]
    fn each_limit_counts_for_itself_and_says_when_to_try_again() {
        let now = Arc::new(AtomicI64::new(1_800_000_000_000));
        let seen = Arc::clone(&now);
        let clock: Clock = Arc::new(move || Timestamp::from_millis(seen.load(Ordering::Relaxed)));
        let limits =
            LoginLimits::new(RateLimit::per_minute(5), RateLimit::per_minute(20), RateLimit::per_minute(60), &clock);
        for _ in 0..5 {
            limits.check("ada", "10.0.0.1").expect("within the limit");
        }
        let wait = limits.check("ada", "10.0.0.1").expect_err("one too many");
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(12), "{wait:?}");
        limits.check("bob", "10.0.0.1").expect("another name");
        limits.check("ada", "10.0.0.2").expect("the owner, from elsewhere");
        now.fetch_add(i64::try_from(wait.as_millis()).expect("small") + 1, Ordering::Relaxed);
        limits.check("ada", "10.0.0.1").expect("after the wait");
        for n in 0..12 {
            limits.check(&format!("user {n}"), "10.0.0.1").expect("within the network's limit");
        }
        assert!((0..8).any(|n| limits.check(&format!("other {n}"), "10.0.0.1").is_err()), "one network, many names");
    }

    #[test]
    fn a_host_has_one_ipv4_address_and_a_whole_64() {
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:10.0.0.1"), network("10.0.0.1"));
        assert_eq!(network("socket"), "socket");
    }
}
