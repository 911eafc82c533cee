//! Who somebody is: log-in, sessions, bearer tokens, links. Every answer is asked of the store, so that what was revoked,
//! disabled or changed a moment ago counts at once.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use subtle::ConstantTimeEq as _;
use updraft_model::access::{Permission, Role};
use updraft_model::time::Timestamp;
use updraft_store::accounts::{Accounts, Link, LinkPurpose, Session, User, UserChange};

use crate::limit::LoginLimits;
use crate::password::{self, Passwords};
use crate::principal::LOCAL;
use crate::{Audit, AuthError, PasswordCost, Principal, PrincipalKind, RateLimit, secret};

/// What o'clock it is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// A session's or token's last use is noted at most this often: reading pages costs no commit.
const TOUCH_EVERY: Duration = Duration::from_mins(1);
/// Life of `serve`'s link for the first admin.
pub const FIRST_ADMIN_LIFE: Duration = Duration::from_hours(1);
/// Life of a link that lets a user choose a password.
pub const SET_PASSWORD_LIFE: Duration = Duration::from_hours(24);
/// Longest address and user agent that are kept, in characters.
const KEPT: usize = 200;

/// How long sessions last, how often one may try, what a hash costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthConfig {
    /// A session ends when it was not used for so long.
    pub idle: Duration,
    /// And after so long in any case.
    pub absolute: Duration,
    /// Whether sessions of the local admin (`dev`'s link) count.
    pub local_sessions: bool,
    /// Log-ins per name and network.
    pub per_name: RateLimit,
    /// Log-ins per network.
    pub per_network: RateLimit,
    /// Log-ins per name from anywhere.
    pub per_name_anywhere: RateLimit,
    /// What a hash costs.
    pub cost: PasswordCost,
}

impl AuthConfig {
    /// Reachable from this machine alone.
    pub fn local() -> Self {
        Self {
            idle: Duration::from_hours(12),
            absolute: Duration::from_hours(7 * 24),
            local_sessions: true,
            per_name: RateLimit::per_minute(5),
            per_network: RateLimit::per_minute(20),
            per_name_anywhere: RateLimit::per_minute(60),
            cost: PasswordCost::default(),
        }
    }

    /// Reachable from elsewhere.
    pub fn exposed() -> Self {
        Self {
            idle: Duration::from_mins(30),
            absolute: Duration::from_hours(12),
            local_sessions: false,
            ..Self::local()
        }
    }
}

/// A session that has just begun.
#[derive(Debug)]
pub struct NewSession {
    /// The cookie's value.
    pub id: SecretString,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
    /// Whose it is.
    pub principal: Principal,
}

/// A link's token, shown once.
#[derive(Debug)]
pub struct OneTime {
    /// For `/login-link?token=…`.
    pub token: SecretString,
    /// When it ends; `None`: with the process.
    pub expires_at: Option<Timestamp>,
}

/// What a link is for, before it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetupLink {
    /// Choose a name and a password.
    FirstAdmin,
    /// Choose a password for this user.
    SetPassword {
        /// Whose.
        user: String,
    },
    /// Nothing to choose: go to `/auth/link`.
    DevLogin,
}

/// `dev`'s link: in memory and in a file that goes with the process.
struct DevLink {
    hash: String,
    file: Option<PathBuf>,
}

/// The service.
pub struct Authenticator {
    pub(crate) accounts: Arc<dyn Accounts>,
    pub(crate) audit: Audit,
    pub(crate) clock: Clock,
    pub(crate) passwords: Passwords,
    config: AuthConfig,
    limits: LoginLimits,
    dev: Mutex<Option<DevLink>>,
}

impl Authenticator {
    /// Over these accounts.
    pub fn new(accounts: Arc<dyn Accounts>, config: AuthConfig, clock: Clock) -> Self {
        Self {
            audit: Audit::new(Arc::clone(&accounts), Arc::clone(&clock)),
            passwords: Passwords::new(config.cost),
            limits: LoginLimits::new(config.per_name, config.per_network, config.per_name_anywhere, &clock),
            dev: Mutex::new(None),
            accounts,
            clock,
            config,
        }
    }

    /// The recorder that this service uses.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// How it was set up.
    pub fn config(&self) -> &AuthConfig {
        &self.config
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Logs a user in. `address` is the client's (see [`crate::Door::client`]).
    ///
    /// # Errors
    /// [`AuthError::TooManyTries`], else [`AuthError::BadCredentials`] whether the name is unknown, the password wrong or
    /// the user disabled, after the same time.
    pub async fn login(
        &self,
        name: &str,
        password: SecretString,
        address: &str,
        user_agent: &str,
    ) -> Result<NewSession, AuthError> {
        let key: String = name.chars().take(64).collect();
        self.limits.check(&key, address).map_err(|retry_after| AuthError::TooManyTries { retry_after })?;
        let user = self.accounts.user(name).await?;
        let hash = user.as_ref().and_then(|user| user.password_hash.as_deref());
        let too_long = password.expose_secret().len() > password::LONGEST;
        let fits = self.passwords.verify(&password, hash.filter(|_| !too_long)).await?;
        let Some(user) = user.filter(|user| fits && !user.disabled) else {
            // An unknown name is not written down: it may be a password typed into the wrong field.
            let known = self.accounts.user(name).await?.is_some();
            let who = if known { name } else { "an unknown name" };
            self.audit.record_unknown(who, address, "login.failed", "session", json!({})).await?;
            return Err(AuthError::BadCredentials);
        };
        let session = self.begin(&user, PrincipalKind::User, address, user_agent).await?;
        self.audit.record(&session.principal, "login", "session", None, json!({})).await?;
        Ok(session)
    }

    async fn begin(
        &self,
        user: &User,
        kind: PrincipalKind,
        address: &str,
        user_agent: &str,
    ) -> Result<NewSession, AuthError> {
        let (id, now) = (secret::random()?, self.now());
        let cut = |text: &str| text.chars().filter(|c| !c.is_control()).take(KEPT).collect::<String>();
        let session = Session {
            id_hash: secret::hash(id.expose_secret()),
            user: user.name.clone(),
            created_at: now,
            last_seen_at: now,
            idle_until: now + self.config.idle,
            expires_at: now + self.config.absolute,
            address: cut(address),
            user_agent: cut(user_agent),
        };
        if !self.accounts.add_session(&session).await? {
            return Err(AuthError::BadCredentials);
        }
        let principal = principal_of(&session, user, kind, address);
        Ok(NewSession { id, expires_at: session.expires_at, principal })
    }

    /// Whose session this cookie is.
    ///
    /// # Errors
    /// [`AuthError::NotAuthenticated`]: there is none, it has ended, or its user is disabled.
    pub async fn session(&self, cookie: &str, address: &str) -> Result<Principal, AuthError> {
        if !secret::is_random(cookie) {
            return Err(AuthError::NotAuthenticated);
        }
        let found = self.accounts.session(&secret::hash(cookie)).await?;
        let Some((session, user)) = found else { return Err(AuthError::NotAuthenticated) };
        let now = self.now();
        // What counts is the shorter of what was promised then and what is allowed now.
        let idle_until = session.idle_until.min(session.last_seen_at + self.config.idle + TOUCH_EVERY);
        let expires_at = session.expires_at.min(session.created_at + self.config.absolute);
        let local = user.name == LOCAL;
        if now >= idle_until || now >= expires_at || user.disabled || (local && !self.config.local_sessions) {
            return Err(AuthError::NotAuthenticated);
        }
        if now.since(session.last_seen_at) >= TOUCH_EVERY {
            let idle_until = (now + self.config.idle).min(expires_at);
            if !self.accounts.touch_session(&session.id_hash, now, idle_until).await? {
                return Err(AuthError::NotAuthenticated);
            }
        }
        let kind = if local { PrincipalKind::Local } else { PrincipalKind::User };
        let session = Session { expires_at, ..session };
        Ok(principal_of(&session, &user, kind, address))
    }

    /// Whose API token this is.
    ///
    /// # Errors
    /// [`AuthError::NotAuthenticated`]: there is none, it has ended, or its owner is disabled.
    pub async fn bearer(&self, token: &str, address: &str) -> Result<Principal, AuthError> {
        if !secret::is_api_token(token) {
            return Err(AuthError::NotAuthenticated);
        }
        let found = self.accounts.token(&secret::hash(token)).await?;
        let Some((token, owner)) = found else { return Err(AuthError::NotAuthenticated) };
        let now = self.now();
        let ended = token.expires_at.is_some_and(|ends| now >= ends);
        let role = match (&token.owner, &owner) {
            (None, _) => token.role,
            (Some(_), Some(owner)) if !owner.disabled => token.role.min(owner.role),
            (Some(_), Some(_) | None) => return Err(AuthError::NotAuthenticated),
        };
        if ended {
            return Err(AuthError::NotAuthenticated);
        }
        if token.last_used_at.is_none_or(|used| now.since(used) >= TOUCH_EVERY) {
            self.accounts.touch_token(&token.id, now).await?;
        }
        // A scope that this build does not know allows nothing; an empty list would allow everything.
        let scopes: Vec<Permission> = token.scopes.iter().filter_map(|scope| Permission::parse(scope)).collect();
        if scopes.is_empty() && !token.scopes.is_empty() {
            return Err(AuthError::NotAuthenticated);
        }
        Ok(Principal {
            kind: PrincipalKind::Token,
            name: format!("{} ({})", token.name, token.owner.as_deref().unwrap_or(&token.created_by)),
            role,
            scopes,
            from: address.to_owned(),
            user: token.owner,
            session: None,
            expires_at: token.expires_at,
            must_change_password: false,
        })
    }

    /// Ends the session that a principal came with.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn logout(&self, who: &Principal) -> Result<(), AuthError> {
        if let Some(session) = &who.session
            && self.accounts.end_session(session).await?
        {
            self.audit.record(who, "logout", "session", None, json!({})).await?;
        }
        Ok(())
    }

    /// Changes one's own password, which ends one's other sessions.
    ///
    /// # Errors
    /// [`AuthError::NoPassword`] for tokens and the local admin, [`AuthError::BadCredentials`] if `current` is wrong,
    /// [`AuthError::WeakPassword`], [`AuthError::TooManyTries`].
    pub async fn change_password(
        &self,
        who: &Principal,
        current: SecretString,
        new: SecretString,
    ) -> Result<(), AuthError> {
        let (PrincipalKind::User, Some(name)) = (who.kind, &who.user) else { return Err(AuthError::NoPassword) };
        self.limits.check(name, &who.from).map_err(|retry_after| AuthError::TooManyTries { retry_after })?;
        password::check(name, new.expose_secret()).map_err(AuthError::WeakPassword)?;
        let user = self.accounts.user(name).await?.ok_or(AuthError::NotAuthenticated)?;
        if !self.passwords.verify(&current, user.password_hash.as_deref()).await? {
            self.audit.record(who, "password.change_failed", name, None, json!({})).await?;
            return Err(AuthError::BadCredentials);
        }
        let change = UserChange {
            password: Some((self.passwords.hash(&new).await?, false)),
            end_sessions: true,
            keep_session: who.session.clone(),
            ..UserChange::default()
        };
        self.change(name, &change).await?;
        self.audit.record(who, "password.change", name, None, json!({ "other_sessions": "ended" })).await?;
        Ok(())
    }

    /// `serve`'s link for the first admin: made anew at each start, until there is one. Printed once, works once.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub async fn first_admin_link(&self) -> Result<Option<OneTime>, AuthError> {
        if self.accounts.has_admin().await? {
            return Ok(None);
        }
        self.link(LinkPurpose::FirstAdmin, None, FIRST_ADMIN_LIFE).await.map(Some)
    }

    pub(crate) async fn link(
        &self,
        purpose: LinkPurpose,
        user: Option<&str>,
        life: Duration,
    ) -> Result<OneTime, AuthError> {
        let (token, now) = (secret::random()?, self.now());
        let link = Link {
            hash: secret::hash(token.expose_secret()),
            purpose,
            user: user.map(str::to_owned),
            created_at: now,
            expires_at: now + life,
            used_at: None,
        };
        self.accounts.add_link(&link).await?;
        Ok(OneTime { token, expires_at: Some(link.expires_at) })
    }

    /// What a link is for; does not use it. The page asks this to show the right form.
    ///
    /// # Errors
    /// [`AuthError::BadLink`].
    pub async fn look_at_link(&self, token: &str) -> Result<SetupLink, AuthError> {
        if self.is_dev_link(token) {
            return Ok(SetupLink::DevLogin);
        }
        let link = self.live_link(token).await?;
        match (link.purpose, link.user) {
            (LinkPurpose::FirstAdmin, _) if !self.accounts.has_admin().await? => Ok(SetupLink::FirstAdmin),
            (LinkPurpose::SetPassword, Some(user)) => Ok(SetupLink::SetPassword { user }),
            (LinkPurpose::FirstAdmin | LinkPurpose::SetPassword | LinkPurpose::DevLogin, _) => Err(AuthError::BadLink),
        }
    }

    async fn live_link(&self, token: &str) -> Result<Link, AuthError> {
        if !secret::is_random(token) {
            return Err(AuthError::BadLink);
        }
        let link = self.accounts.link(&secret::hash(token)).await?;
        link.filter(|link| link.used_at.is_none() && self.now() < link.expires_at).ok_or(AuthError::BadLink)
    }

    /// Uses a one-time link: makes the first admin, or sets a user's password (then `name` is theirs, or empty), and logs in.
    /// A refused password does not use the link up.
    ///
    /// # Errors
    /// [`AuthError::BadLink`], [`AuthError::BadName`], [`AuthError::ReservedName`], [`AuthError::WeakPassword`],
    /// [`AuthError::Taken`].
    pub async fn setup(
        &self,
        token: &str,
        name: &str,
        password: SecretString,
        address: &str,
        user_agent: &str,
    ) -> Result<NewSession, AuthError> {
        let network_key = "a link";
        self.limits.check(network_key, address).map_err(|retry_after| AuthError::TooManyTries { retry_after })?;
        let purpose = self.look_at_link(token).await?;
        let name = match &purpose {
            SetupLink::FirstAdmin => crate::users::checked_name(name)?,
            SetupLink::SetPassword { user } if name.is_empty() || user == name => user.as_str(),
            SetupLink::SetPassword { .. } | SetupLink::DevLogin => return Err(AuthError::BadLink),
        };
        password::check(name, password.expose_secret()).map_err(AuthError::WeakPassword)?;
        if purpose == SetupLink::FirstAdmin && self.accounts.user(name).await?.is_some() {
            return Err(AuthError::Taken(name.to_owned()));
        }
        let hash = self.passwords.hash(&password).await?;
        let now = self.now();
        // Of many who come with the same link one goes on from here.
        self.accounts.use_link(&secret::hash(token), now).await?.ok_or(AuthError::BadLink)?;
        let action = match purpose {
            SetupLink::FirstAdmin => {
                let user = User {
                    name: name.to_owned(),
                    role: Role::Admin,
                    password_hash: Some(hash),
                    must_change_password: false,
                    disabled: false,
                    created_at: now,
                    last_login_at: None,
                };
                if !self.accounts.add_user(&user).await? {
                    return Err(AuthError::Taken(name.to_owned()));
                }
                "user.first_admin"
            }
            SetupLink::SetPassword { .. } | SetupLink::DevLogin => {
                let change = UserChange { password: Some((hash, false)), end_sessions: true, ..UserChange::default() };
                self.change(name, &change).await?;
                "password.set_by_link"
            }
        };
        let user = self.accounts.user(name).await?.ok_or(AuthError::BadLink)?;
        let session = self.begin(&user, PrincipalKind::User, address, user_agent).await?;
        self.audit.record(&session.principal, action, name, None, json!({})).await?;
        Ok(session)
    }

    /// `dev`'s link: works until this process ends, as often as needed. Its token is also in `file`, readable by this
    /// user alone.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn dev_link(&self, file: Option<&Path>) -> Result<OneTime, AuthError> {
        let token = secret::random()?;
        if let Some(file) = file {
            write_private(file, token.expose_secret()).map_err(|error| {
                AuthError::Internal(format!("cannot write the log-in link to {}: {error}", file.display()))
            })?;
        }
        let link = DevLink { hash: secret::hash(token.expose_secret()), file: file.map(Path::to_owned) };
        *self.dev.lock().unwrap_or_else(PoisonError::into_inner) = Some(link);
        Ok(OneTime { token, expires_at: None })
    }

    fn is_dev_link(&self, token: &str) -> bool {
        let dev = self.dev.lock().unwrap_or_else(PoisonError::into_inner);
        let hash = secret::hash(token);
        dev.as_ref().is_some_and(|dev| dev.hash.as_bytes().ct_eq(hash.as_bytes()).into())
    }

    /// Logs in by `dev`'s link, as the local admin.
    ///
    /// # Errors
    /// [`AuthError::BadLink`]; [`AuthError::TooManyTries`].
    pub async fn dev_login(&self, token: &str, address: &str, user_agent: &str) -> Result<NewSession, AuthError> {
        if !self.config.local_sessions || !self.is_dev_link(token) {
            let limited = self.limits.check("a link", address);
            limited.map_err(|retry_after| AuthError::TooManyTries { retry_after })?;
            return Err(AuthError::BadLink);
        }
        let local = User {
            name: LOCAL.to_owned(),
            role: Role::Admin,
            password_hash: None,
            must_change_password: false,
            disabled: false,
            created_at: self.now(),
            last_login_at: None,
        };
        // False: it is there since the last time.
        self.accounts.add_user(&local).await?;
        let session = self.begin(&local, PrincipalKind::Local, address, user_agent).await?;
        self.audit.record(&session.principal, "login.dev_link", "session", None, json!({})).await?;
        Ok(session)
    }

    /// Removes what has ended. For the daemon's upkeep.
    ///
    /// # Errors
    /// The store cannot be written.
    pub async fn sweep(&self) -> Result<u64, AuthError> {
        Ok(self.accounts.sweep_accounts(self.now()).await?)
    }
}

impl Drop for Authenticator {
    /// The link goes with the process; its file too.
    fn drop(&mut self) {
        let dev = self.dev.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(file) = dev.and_then(|dev| dev.file) {
            // Gone already, or the folder is: either way nobody can use it any more.
            let _ = std::fs::remove_file(file);
        }
    }
}

fn principal_of(session: &Session, user: &User, kind: PrincipalKind, address: &str) -> Principal {
    Principal {
        kind,
        name: user.name.clone(),
        role: user.role,
        scopes: Vec::new(),
        from: address.to_owned(),
        user: Some(user.name.clone()),
        session: Some(session.id_hash.clone()),
        expires_at: Some(session.expires_at),
        must_change_password: user.must_change_password,
    }
}

/// Replaces a file by one that this user alone may read.
pub(crate) fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists()) {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = path.with_file_name(name);
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}
