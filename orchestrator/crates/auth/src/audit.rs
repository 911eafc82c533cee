//! Writes the audit log: who, as what, from where, what, to what, why; never a secret.

use std::sync::Arc;

use serde_json::{Map, Value};
use updraft_store::StoreError;
use updraft_store::accounts::{Accounts, AuditEntry, NewAudit};

use crate::Principal;
use crate::authenticator::Clock;
use crate::secret::TOKEN_MARK;

/// What stands in a secret's place.
pub const MASK: &str = "***";
/// Longest subject, and longest reason.
const SUBJECT: usize = 500;
const REASON: usize = 2000;
/// A detail's key that holds one of these holds a secret.
const SECRET_KEYS: [&str; 8] =
    ["password", "passwd", "secret", "token", "api_key", "private_key", "authorization", "credential"];

/// The recorder.
#[derive(Clone)]
pub struct Audit {
    accounts: Arc<dyn Accounts>,
    clock: Clock,
}

impl Audit {
    /// Over these accounts and this clock.
    pub fn new(accounts: Arc<dyn Accounts>, clock: Clock) -> Self {
        Self { accounts, clock }
    }

    /// Records what a principal did.
    ///
    /// # Errors
    /// The store cannot be written: what was not recorded must be told to the asker.
    pub async fn record(
        &self,
        who: &Principal,
        action: &str,
        subject: &str,
        reason: Option<&str>,
        detail: Value,
    ) -> Result<AuditEntry, StoreError> {
        self.append(&who.name, Some(who.role.name()), &who.from, action, subject, reason, detail).await
    }

    /// Records what somebody did who was not recognised (failed log-ins), or the program itself (`system`).
    ///
    /// # Errors
    /// As [`Audit::record`].
    pub async fn record_unknown(
        &self,
        who: &str,
        from: &str,
        action: &str,
        subject: &str,
        detail: Value,
    ) -> Result<AuditEntry, StoreError> {
        self.append(who, None, from, action, subject, None, detail).await
    }

    #[expect(clippy::too_many_arguments, reason = "the columns of an entry")]
    async fn append(
        &self,
        actor: &str,
        role: Option<&str>,
        from: &str,
        action: &str,
        subject: &str,
        reason: Option<&str>,
        detail: Value,
    ) -> Result<AuditEntry, StoreError> {
        let entry = NewAudit {
            at: (self.clock)(),
            actor: text(actor, SUBJECT),
            role: role.map(str::to_owned),
            from: text(from, SUBJECT),
            action: action.to_owned(),
            subject: text(subject, SUBJECT),
            reason: reason.map(str::trim).filter(|reason| !reason.is_empty()).map(|reason| text(reason, REASON)),
            detail: masked(detail),
        };
        self.accounts.append_audit(&entry).await
    }
}

/// Without tokens, without U+0000 (which no store keeps), and no longer than that.
fn text(given: &str, longest: usize) -> String {
    let plain = masked_text(given).replace('\0', "\u{FFFD}");
    match plain.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", &plain[..end]),
        None => plain,
    }
}

/// A detail without secrets: values under telling keys, API tokens in any text, passwords in addresses.
pub fn masked(detail: Value) -> Value {
    match detail {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(key, value)| {
                    let lower = key.to_lowercase();
                    // A count or a flag about a secret is none.
                    let tells = SECRET_KEYS.iter().any(|secret| lower.contains(secret))
                        && !matches!(value, Value::Bool(_) | Value::Null | Value::Number(_));
                    let value = if tells { Value::String(MASK.to_owned()) } else { masked(value) };
                    (key.replace('\0', "\u{FFFD}"), value)
                })
                .collect::<Map<_, _>>(),
        ),
        Value::Array(values) => Value::Array(values.into_iter().map(masked).collect()),
        Value::String(given) => Value::String(masked_text(&given).replace('\0', "\u{FFFD}")),
        Value::Null | Value::Bool(_) | Value::Number(_) => detail,
    }
}

/// A text without API tokens and without passwords in addresses (`scheme://user:password@host`).
pub fn masked_text(given: &str) -> String {
    let mut out = String::with_capacity(given.len());
    let mut rest = given;
    while let Some(start) = rest.find(TOKEN_MARK) {
        let after = &rest[start + TOKEN_MARK.len()..];
        let body = after.bytes().take_while(u8::is_ascii_alphanumeric).count();
        out.push_str(&rest[..start]);
        if body >= 40 {
            out.push_str(MASK);
        } else {
            out.push_str(&rest[start..start + TOKEN_MARK.len() + body]);
        }
        rest = &after[body..];
    }
    out.push_str(rest);
    without_user_info(&out)
}

fn without_user_info(given: &str) -> String {
    let mut out = String::with_capacity(given.len());
    let mut rest = given;
    while let Some(start) = rest.find("://") {
        let (before, after) = rest.split_at(start + 3);
        out.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || "/?#\"'<>".contains(c)).unwrap_or(after.len());
        let (authority, tail) = after.split_at(end);
        match authority.rsplit_once('@').and_then(|(info, host)| Some((info.split_once(':')?.0, host))) {
            Some((user, host)) => [user, ":", MASK, "@", host].iter().for_each(|part| out.push_str(part)),
            None => out.push_str(authority),
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_do_not_get_into_the_log() {
        let token = crate::secret::api_token().expect("a token");
        let token = token.expose_secret();
        let detail = json!({
            "password": "hunter2", "Client_Secret": ["hunter2"], "scopes": ["read"], "tokens": 3, "must_change_password": true,
            "url": "postgres://u:hunter2@db/x", "note": format!("used {token} today"), "deep": [{ "authorization": "hunter2" }],
        });
        let shown = masked(detail);
        let text = shown.to_string();
        assert!(!text.contains("hunter2") && !text.contains(token), "{text}");
        assert_eq!(shown["url"], "postgres://u:***@db/x");
        assert_eq!(shown["tokens"], 3);
        assert_eq!(shown["must_change_password"], true);
        assert_eq!(shown["note"], "used *** today");
        assert_eq!(masked_text("upd_short stays, http://host/a@b:c stays"), "upd_short stays, http://host/a@b:c stays");
    }

    #[test]
    fn texts_are_cut_and_storable() {
        assert_eq!(text("a\0b", 10), "a\u{FFFD}b");
        assert_eq!(text("äöü", 2), "äö…");
    }
}
