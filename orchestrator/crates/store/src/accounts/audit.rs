//! The audit log: who did what, when, from where, why; each entry sealed over the one before it.
//!
//! Changing, removing or inserting an entry breaks the chain at that place, which [`verify`] finds. Cutting off the newest
//! entries does not: compare the last `seq` and `hash` with a copy kept elsewhere.

use serde_json::{Value, json};
use updraft_model::canonical::{canonical_json, sha256_hex};
use updraft_model::time::Timestamp;

use super::Accounts;
use crate::StoreError;

/// What the first entry follows.
pub const FIRST_PREV: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Entries that [`verify`] reads at a time.
const PAGE: u32 = 500;

/// What is to be recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct NewAudit {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// As what.
    pub role: Option<String>,
    /// From where: an address, or `socket`.
    pub from: String,
    /// What was done: `run.cancel`, `user.add`, `login.failed`.
    pub action: String,
    /// To what.
    pub subject: String,
    /// Why, in the actor's words.
    pub reason: Option<String>,
    /// More, without secrets.
    pub detail: Value,
}

/// What was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Counts from 1 without a gap.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// As what.
    pub role: Option<String>,
    /// From where.
    pub from: String,
    /// What was done.
    pub action: String,
    /// To what.
    pub subject: String,
    /// Why.
    pub reason: Option<String>,
    /// More, as JSON text.
    pub detail: String,
    /// `hash` of the entry before.
    pub prev_hash: String,
    /// sha-256 (hex) over the canonical JSON of all the rest.
    pub hash: String,
}

impl AuditEntry {
    /// The entry behind `last` (number and hash).
    ///
    /// # Errors
    /// [`StoreError::Rejected`]: a text holds U+0000, or the detail is no storable JSON.
    pub fn next(last: Option<(u64, String)>, new: &NewAudit) -> Result<Self, StoreError> {
        let rejected =
            |error: updraft_model::canonical::CanonicalError| StoreError::Rejected(format!("audit entry: {error}"));
        let (seq, prev_hash) = last.unwrap_or((0, FIRST_PREV.to_owned()));
        let mut entry = Self {
            seq: seq + 1,
            at: new.at,
            actor: new.actor.clone(),
            role: new.role.clone(),
            from: new.from.clone(),
            action: new.action.clone(),
            subject: new.subject.clone(),
            reason: new.reason.clone(),
            detail: canonical_json(&new.detail).map_err(rejected)?,
            prev_hash,
            hash: String::new(),
        };
        entry.hash = entry.digest().map_err(rejected)?;
        Ok(entry)
    }

    /// Whether it is as it was sealed, and follows `last`.
    pub fn follows(&self, last: Option<(u64, &str)>) -> bool {
        let (seq, prev) = last.unwrap_or((0, FIRST_PREV));
        self.seq == seq + 1 && self.prev_hash == prev && self.digest().is_ok_and(|hash| hash == self.hash)
    }

    fn digest(&self) -> Result<String, updraft_model::canonical::CanonicalError> {
        let sealed = json!({
            "seq": self.seq,
            "at": self.at.as_millis(),
            "actor": self.actor,
            "role": self.role,
            "from": self.from,
            "action": self.action,
            "subject": self.subject,
            "reason": self.reason,
            // The text, not the value: a number that reads back differently would break the chain.
            "detail": self.detail,
            "prev_hash": self.prev_hash,
        });
        canonical_json(&sealed).map(|text| sha256_hex(text.as_bytes()))
    }
}

/// Which entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// By this actor.
    pub actor: Option<String>,
    /// With this action.
    pub action: Option<String>,
    /// On this subject.
    pub subject: Option<String>,
    /// At or after.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// Older than the entry with this number.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: u32,
}

/// What [`verify`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Entries that were looked at.
    pub entries: u64,
    /// The first that is not as it was written, or follows a gap.
    pub first_bad: Option<u64>,
    /// Number and hash of the last good one: compare them with a copy kept elsewhere.
    pub last: Option<(u64, String)>,
}

/// Walks the whole log, page by page.
///
/// # Errors
/// The store cannot be read.
pub async fn verify(accounts: &dyn Accounts) -> Result<Verified, StoreError> {
    let mut found = Verified { entries: 0, first_bad: None, last: None };
    loop {
        let after = found.last.as_ref().map_or(0, |(seq, _)| *seq);
        let page = accounts.audit_after(after, PAGE).await?;
        if page.is_empty() {
            return Ok(found);
        }
        for entry in page {
            found.entries += 1;
            if !entry.follows(found.last.as_ref().map(|(seq, hash)| (*seq, hash.as_str()))) {
                found.first_bad = Some(entry.seq);
                return Ok(found);
            }
            found.last = Some((entry.seq, entry.hash));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(action: &str) -> NewAudit {
        NewAudit {
            at: Timestamp::from_millis(1),
            actor: "ada".to_owned(),
            role: Some("admin".to_owned()),
            from: "127.0.0.1".to_owned(),
            action: action.to_owned(),
            subject: "run 1".to_owned(),
            reason: None,
            detail: json!({ "b": 1.5, "a": [1] }),
        }
    }

    #[test]
    fn every_field_is_sealed() {
        let first = AuditEntry::next(None, &new("run.cancel")).expect("an entry");
        assert!(first.follows(None));
        assert_eq!(first.detail, r#"{"a":[1],"b":1.5}"#);
        let second = AuditEntry::next(Some((1, first.hash.clone())), &new("run.retry")).expect("an entry");
        assert!(second.follows(Some((1, &first.hash))));
        assert!(!second.follows(None), "a gap before it");
        let changes: [fn(&mut AuditEntry); 10] = [
            |e| e.seq = 3,
            |e| e.at = Timestamp::from_millis(2),
            |e| e.actor = "eve".to_owned(),
            |e| e.role = None,
            |e| e.from = "10.0.0.1".to_owned(),
            |e| e.action = "run.mark".to_owned(),
            |e| e.subject = "run 2".to_owned(),
            |e| e.reason = Some(String::new()),
            |e| e.detail = "{}".to_owned(),
            |e| e.prev_hash = FIRST_PREV.to_owned(),
        ];
        for change in changes {
            let mut forged = second.clone();
            change(&mut forged);
            assert!(!forged.follows(Some((1, &first.hash))), "{forged:?}");
        }
    }

    #[test]
    fn what_no_store_can_keep_is_refused() {
        let mut nul = new("run.cancel");
        nul.subject = "a\0b".to_owned();
        assert!(matches!(AuditEntry::next(None, &nul), Err(StoreError::Rejected(_))));
    }
}
