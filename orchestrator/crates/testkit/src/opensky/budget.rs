//! Who asks, with which token, and how many credits are left. Pure: `now` is an argument.

use std::collections::HashMap;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use uuid::Uuid;

/// Who a data call comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Caller {
    Anonymous,
    Registered,
}

impl Caller {
    /// Seconds between two different answers.
    pub(crate) const fn resolution_s(self) -> i64 {
        match self {
            Self::Anonymous => 10,
            Self::Registered => 5,
        }
    }

    const fn daily_credits(self) -> u32 {
        match self {
            Self::Anonymous => 400,
            Self::Registered => 4_000,
        }
    }
}

/// The endpoints that share a bucket of credits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Bucket {
    States,
    Flights,
    Tracks,
}

/// Not enough credits are left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Exhausted {
    pub(crate) retry_after_s: i64,
}

/// Credits left per caller and bucket. They come back at midnight UTC.
#[derive(Debug)]
pub(crate) struct Budgets {
    /// Instead of the class's daily budget.
    credits: Option<u32>,
    day: NaiveDate,
    left: HashMap<(Caller, Bucket), u32>,
}

impl Budgets {
    pub(crate) fn new(credits: Option<u32>, now: DateTime<Utc>) -> Self {
        Self { credits, day: now.date_naive(), left: HashMap::new() }
    }

    /// Takes the credits of one call and says what is left.
    pub(crate) fn charge(
        &mut self,
        caller: Caller,
        bucket: Bucket,
        credits: u32,
        now: DateTime<Utc>,
    ) -> Result<u32, Exhausted> {
        if now.date_naive() != self.day {
            self.day = now.date_naive();
            self.left.clear();
        }
        let left =
            self.left.entry((caller, bucket)).or_insert_with(|| self.credits.unwrap_or_else(|| caller.daily_credits()));
        match left.checked_sub(credits) {
            Some(rest) => {
                *left = rest;
                Ok(rest)
            }
            None => Err(Exhausted { retry_after_s: seconds_to_midnight(now) }),
        }
    }
}

fn seconds_to_midnight(now: DateTime<Utc>) -> i64 {
    let midnight = (now.date_naive() + Days::new(1)).and_time(NaiveTime::MIN).and_utc();
    (midnight - now).num_seconds().max(1)
}

/// The tokens given out.
#[derive(Debug, Default)]
pub(crate) struct Tokens(HashMap<String, DateTime<Utc>>);

impl Tokens {
    /// A new token that is valid for `ttl_s` seconds.
    pub(crate) fn issue(&mut self, ttl_s: u32, now: DateTime<Utc>) -> String {
        self.0.retain(|_, expires_at| *expires_at > now);
        let token = format!("standin.{}", Uuid::new_v4().simple());
        self.0.insert(token.clone(), now + TimeDelta::seconds(i64::from(ttl_s)));
        token
    }

    pub(crate) fn is_valid(&self, token: &str, now: DateTime<Utc>) -> bool {
        self.0.get(token).is_some_and(|expires_at| *expires_at > now)
    }

    pub(crate) fn revoke(&mut self, token: &str) {
        self.0.remove(token);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn buckets_and_callers_are_counted_apart() {
        let now = at("2026-11-24T12:00:00Z");
        let mut budgets = Budgets::new(None, now);
        for (caller, bucket, left) in [
            (Caller::Anonymous, Bucket::States, 396),
            (Caller::Anonymous, Bucket::States, 392),
            (Caller::Registered, Bucket::States, 3_996),
            (Caller::Registered, Bucket::Flights, 3_996),
            (Caller::Registered, Bucket::Tracks, 3_996),
            (Caller::Anonymous, Bucket::States, 388),
        ] {
            assert_eq!(budgets.charge(caller, bucket, 4, now), Ok(left), "{caller:?} {bucket:?}");
        }
    }

    #[test]
    fn a_used_up_budget_comes_back_at_midnight() {
        let evening = at("2026-11-24T18:00:00Z");
        let mut budgets = Budgets::new(Some(6), evening);
        assert_eq!(budgets.charge(Caller::Anonymous, Bucket::States, 4, evening), Ok(2));
        let exhausted = budgets.charge(Caller::Anonymous, Bucket::States, 4, evening);
        assert_eq!(exhausted, Err(Exhausted { retry_after_s: 21_600 }));
        assert_eq!(budgets.charge(Caller::Anonymous, Bucket::States, 1, evening), Ok(1), "a cheaper call still goes");
        assert_eq!(budgets.charge(Caller::Anonymous, Bucket::States, 4, at("2026-11-25T00:00:00Z")), Ok(2));
    }

    #[test]
    fn a_token_ends_with_its_lifetime_or_when_revoked() {
        let now = at("2026-11-24T12:00:00Z");
        let mut tokens = Tokens::default();
        let (one, two) = (tokens.issue(60, now), tokens.issue(60, now));
        assert_ne!(one, two);
        tokens.revoke(&two);
        assert!(tokens.is_valid(&one, at("2026-11-24T12:00:59Z")));
        assert!(!tokens.is_valid(&one, at("2026-11-24T12:01:00Z")));
        assert!(!tokens.is_valid(&two, now));
        assert!(!tokens.is_valid("standin.made-up", now));
    }
}
