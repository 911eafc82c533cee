//! What was asked and what it was answered, kept for tests to count. Holds no secret and no token.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Every call so far, in order of arrival. The calls to `/_ledger` and `/_fail` are not among them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// The calls.
    pub requests: Vec<Request>,
    /// The same, added up by path.
    pub totals: BTreeMap<String, Totals>,
}

/// One call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// When it arrived.
    pub at: DateTime<Utc>,
    /// HTTP method.
    pub method: String,
    /// Path without query.
    pub path: String,
    /// Query string as sent, empty if there was none.
    pub query: String,
    /// Whether a valid token came with it; of the token endpoint: whether the credentials were right.
    pub authenticated: bool,
    /// Status answered; `None` while it is worked on and for ever if the caller went away.
    pub status: Option<u16>,
    /// Credits charged.
    pub credits: u32,
    /// Credits left in the caller's bucket afterwards.
    pub remaining: Option<u32>,
    /// Name of the fault that it was answered with.
    pub fault: Option<String>,
    /// Rows in the answer, where it has rows.
    pub rows: Option<usize>,
}

/// The calls to one path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// How many came.
    pub requests: u64,
    /// Answered ones by status.
    pub by_status: BTreeMap<u16, u64>,
    /// Credits charged together.
    pub credits: u64,
}

impl Ledger {
    /// The calls to `path`, for example `/api/states/all`.
    pub fn to<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a Request> {
        self.requests.iter().filter(move |request| request.path == path)
    }

    /// How many calls to `path` came.
    pub fn count(&self, path: &str) -> usize {
        self.to(path).count()
    }

    /// Credits charged for all calls together.
    pub fn credits(&self) -> u64 {
        self.requests.iter().map(|request| u64::from(request.credits)).sum()
    }

    /// Notes an arrival; the number is for [`Self::close`].
    pub(crate) fn open(&mut self, request: Request) -> usize {
        self.totals.entry(request.path.clone()).or_default().requests += 1;
        self.requests.push(request);
        self.requests.len() - 1
    }

    /// Notes what the call was answered.
    pub(crate) fn close(&mut self, number: usize, done: impl FnOnce(&mut Request)) {
        let Some(request) = self.requests.get_mut(number) else { return };
        done(request);
        let totals = self.totals.entry(request.path.clone()).or_default();
        totals.credits += u64::from(request.credits);
        if let Some(status) = request.status {
            *totals.by_status.entry(status).or_default() += 1;
        }
    }
}
