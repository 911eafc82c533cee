//! Refusals of people and programs that are known, in the audit log.
//!
//! An entry is a write, and whoever is refused can ask again at once: each principal gets some entries a minute, and what
//! was left out is counted in the next one.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;
use updraft_auth::{Audit, Principal};
use updraft_model::time::Timestamp;

use crate::problem::Problem;

/// What the entries say was done.
const ACTION: &str = "access.denied";
/// Entries of a principal in a window.
const ENTRIES: u32 = 10;
const WINDOW: Duration = Duration::from_mins(1);
/// Principals that are remembered; beyond them all begin anew.
const REMEMBERED: usize = 1_000;

#[derive(Debug, Clone, Copy)]
struct Window {
    since: Timestamp,
    entries: u32,
    left_out: u64,
}

/// The code of an answer that refuses.
pub(crate) fn code_of(response: &Response) -> Option<String> {
    let refused = response.status() == StatusCode::FORBIDDEN;
    let problem = response.extensions().get::<Problem>().filter(|_| refused)?;
    Some(problem.code().to_owned())
}

/// Who was refused of late.
#[derive(Debug, Default)]
pub(crate) struct Denials(Mutex<HashMap<String, Window>>);

impl Denials {
    /// Whether this refusal gets an entry, and how many before it got none.
    fn admit(&self, name: &str, now: Timestamp) -> Option<u64> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED && !known.contains_key(name) {
            known.clear();
        }
        let begun = Window { since: now, entries: 0, left_out: 0 };
        let window = known.entry(name.to_owned()).or_insert(begun);
        if now.since(window.since) >= WINDOW {
            *window = Window { left_out: window.left_out, ..begun };
        }
        if window.entries >= ENTRIES {
            window.left_out += 1;
            return None;
        }
        window.entries += 1;
        Some(std::mem::take(&mut window.left_out))
    }

    /// Records a refusal. It stands whether or not the entry could be written.
    pub(crate) async fn note(&self, audit: &Audit, who: &Principal, asked: (&str, &str), code: &str, now: Timestamp) {
        let Some(left_out) = self.admit(&who.name, now) else { return };
        let (method, path) = asked;
        let detail = json!({ "method": method, "code": code, "left_out": left_out });
        if let Err(error) = audit.record(who, ACTION, path, None, detail).await {
            tracing::warn!(%error, who = who.name, path, "a refusal is not in the audit log");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_are_admitted_and_the_rest_counted() {
        let denials = Denials::default();
        let begin = Timestamp::from_millis(1_000);
        for _ in 0..ENTRIES {
            assert_eq!(denials.admit("ada", begin), Some(0));
        }
        assert_eq!(denials.admit("ada", begin), None);
        assert_eq!(denials.admit("ada", begin), None);
        assert_eq!(denials.admit("bob", begin), Some(0));
        let later = Timestamp::from_millis(1_000 + 60_000);
        assert_eq!(denials.admit("ada", later), Some(2));
        assert_eq!(denials.admit("ada", later), Some(0));
    }
}
