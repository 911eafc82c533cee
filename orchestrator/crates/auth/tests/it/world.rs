//! A store, a clock, and the service over both.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use tempfile::TempDir;
use updraft_auth::{AuthConfig, Authenticator, Clock, NewSession, NewUser, PasswordCost, Principal, Role};
use updraft_model::time::Timestamp;
use updraft_store::accounts::{Accounts, AuditFilter, verify};
use updraft_store_sqlite::{OpenOptions, SqliteStore};

pub(crate) const GOOD: &str = "four plain words here";
pub(crate) const OTHER: &str = "some other long phrase";
pub(crate) const HERE: &str = "203.0.113.7";

pub(crate) struct World {
    pub(crate) accounts: Arc<dyn Accounts>,
    pub(crate) auth: Authenticator,
    pub(crate) clock: Clock,
    now: Arc<AtomicI64>,
    pub(crate) folder: TempDir,
}

pub(crate) fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(AuthConfig::local()).await
    }

    pub(crate) async fn with(config: AuthConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("store.db"), OpenOptions::default()).await.unwrap();
        let accounts: Arc<dyn Accounts> = Arc::new(store);
        let now = Arc::new(AtomicI64::new(1_800_000_000_000));
        let seen = Arc::clone(&now);
        let clock: Clock = Arc::new(move || Timestamp::from_millis(seen.load(Ordering::Relaxed)));
        let config = AuthConfig { cost: PasswordCost::cheap(), ..config };
        let auth = Authenticator::new(Arc::clone(&accounts), config, Arc::clone(&clock));
        Self { accounts, auth, clock, now, folder }
    }

    /// The same store and clock under another configuration, as after a restart.
    pub(crate) fn again(&self, config: AuthConfig) -> Authenticator {
        let config = AuthConfig { cost: PasswordCost::cheap(), ..config };
        Authenticator::new(Arc::clone(&self.accounts), config, Arc::clone(&self.clock))
    }

    pub(crate) fn pass(&self, span: Duration) {
        self.now.fetch_add(i64::try_from(span.as_millis()).unwrap(), Ordering::Relaxed);
    }

    /// The peer of the socket.
    pub(crate) fn local() -> Principal {
        Principal::of_socket(1000, 1000, Some("ops")).unwrap()
    }

    /// A user who logs in by `GOOD`, without having to change it.
    pub(crate) async fn user(&self, name: &str, role: Role) {
        let new = NewUser { name: name.to_owned(), role, password: None };
        let (_, link) = self.auth.add_user(&Self::local(), &new, None).await.unwrap();
        let token = link.unwrap().token;
        self.auth.setup(token.expose_secret(), name, secret(GOOD), HERE, "test").await.unwrap();
        // The session of the link is not the test's.
        self.accounts.end_sessions(name, None).await.unwrap();
        self.pass(Duration::from_mins(2));
    }

    pub(crate) async fn login(&self, name: &str) -> NewSession {
        self.auth.login(name, secret(GOOD), HERE, "test").await.unwrap()
    }

    /// Who a session is, now.
    pub(crate) async fn who(&self, session: &NewSession) -> Option<Principal> {
        self.auth.session(session.id.expose_secret(), HERE).await.ok()
    }

    /// Actions in the audit log, oldest first; the chain is checked.
    pub(crate) async fn audited(&self) -> Vec<(String, String, String)> {
        assert_eq!(verify(self.accounts.as_ref()).await.unwrap().first_bad, None);
        let filter = AuditFilter { limit: 500, ..AuditFilter::default() };
        let mut entries = self.accounts.audit(&filter).await.unwrap();
        entries.reverse();
        entries.into_iter().map(|entry| (entry.actor, entry.action, entry.subject)).collect()
    }
}
