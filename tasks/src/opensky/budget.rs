//! What is left to spend: holds after a 429 and the credits last heard of, shared across runs under the account.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use updraft_task::{Context, TaskError, Timestamp};

use super::connection::OpenSky;

/// Scope of the shared state that budgets are kept in; the key is the account.
pub const SCOPE: &str = "opensky.states";
/// Budgets are daily: what was heard longer ago says nothing.
const STALE_AFTER: Duration = Duration::from_hours(24);
/// A shorter wait is that of a burst limit and says nothing about the day's credits.
const BURST: Duration = Duration::from_mins(10);
/// Tries of a compare-and-set before it is given up.
const TRIES: u32 = 16;

/// What is known of an account's budget for `/states/*`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Budget {
    /// No call before this instant.
    pub hold_until: Option<Timestamp>,
    /// `X-Rate-Limit-Remaining` of the last answer.
    pub credits_left: Option<u32>,
    /// When it was heard.
    pub heard_at: Option<Timestamp>,
}

impl Budget {
    /// The hold, if it still lasts.
    pub fn hold(&self, now: Timestamp) -> Option<Timestamp> {
        self.hold_until.filter(|until| *until > now)
    }

    /// Credits left as far as is known; `None` if nothing was heard since a day, or if they were used up and the hold has ended
    /// since: the budget was refilled, nobody has said to how much.
    pub fn left(&self, now: Timestamp) -> Option<u32> {
        let heard_at = self.heard_at.filter(|at| now.since(*at) < STALE_AFTER)?;
        let refilled =
            self.credits_left == Some(0) && self.hold_until.is_some_and(|until| until <= now && until >= heard_at);
        if refilled { None } else { self.credits_left }
    }
}

/// The skip of a call that a hold forbids.
pub fn held(until: Timestamp) -> TaskError {
    TaskError::skip(format!(
        "OpenSky's credits are used up: no call before {until} (a 429 said so); nothing was asked for"
    ))
}

/// Reads the budget.
///
/// # Errors
/// The store's.
pub async fn read(connection: &OpenSky, ctx: &Context) -> Result<Budget, TaskError> {
    let found = ctx.shared(SCOPE).get::<Budget>(&connection.account()).await?;
    Ok(found.map(|(budget, _)| budget).unwrap_or_default())
}

/// Keeps what an answer said of the credits left.
///
/// # Errors
/// The store's.
pub async fn keep_credits(connection: &OpenSky, left: u32, ctx: &Context) -> Result<(), TaskError> {
    let now = ctx.now();
    change(connection, ctx, |budget| {
        budget.credits_left = Some(left);
        budget.heard_at = Some(now);
    })
    .await
}

/// Keeps a hold from now on and answers its end; a later end that is there stays.
///
/// # Errors
/// The store's.
pub async fn keep_hold(connection: &OpenSky, wait: Duration, ctx: &Context) -> Result<Timestamp, TaskError> {
    let now = ctx.now();
    let until = now + wait;
    change(connection, ctx, |budget| {
        budget.hold_until = budget.hold_until.max(Some(until));
        if wait >= BURST {
            budget.credits_left = Some(0);
            budget.heard_at = Some(now);
        }
    })
    .await?;
    Ok(until)
}

async fn change(connection: &OpenSky, ctx: &Context, edit: impl Fn(&mut Budget)) -> Result<(), TaskError> {
    let account = connection.account();
    let shared = ctx.shared(SCOPE);
    for _ in 0..TRIES {
        let (mut budget, version) = shared.get::<Budget>(&account).await?.unwrap_or_default();
        edit(&mut budget);
        if shared.compare_and_set(&account, &budget, version).await? {
            return Ok(());
        }
    }
    Err(TaskError::retry("Store", format!("the credits of `{account}` are written by too many at once")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn what_was_heard_is_good_for_a_day_or_until_a_hold_ends() {
        let budget = Budget { hold_until: None, credits_left: Some(7), heard_at: Some(at(100)) };
        assert_eq!(budget.left(at(200)), Some(7));
        assert_eq!(budget.left(at(100 + 86_400)), None);
        let held = Budget { hold_until: Some(at(500)), credits_left: Some(0), heard_at: Some(at(100)) };
        assert_eq!((held.hold(at(499)), held.left(at(499))), (Some(at(500)), Some(0)));
        assert_eq!((held.hold(at(500)), held.left(at(500))), (None, None));
        let burst = Budget { credits_left: Some(50), ..held };
        assert_eq!((burst.hold(at(500)), burst.left(at(500))), (None, Some(50)));
    }
}
