//! The policy of the door: from what was configured and found to how the server opens, or why it must not.
//!
//! Pure: facts come in as data, a [`Door`] or every [`Refusal`] at once goes out. reliability.md §5.4 is the table; each
//! default and each refusal has a test below, named in docs/security.md.

mod request;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::Serialize;
use updraft_model::access::Permission;

pub use request::{CsrfRefusal, HostRefusal, check_host, check_origin};

use crate::vault::KeyOrigin;
use crate::{AuthConfig, Principal};

/// Name of the session's cookie.
pub const SESSION_COOKIE: &str = "updraft_session";

/// Whether `/metrics` answers this peer: the machine itself, not through a proxy. The same for every door.
pub fn metrics_open_to(peer: IpAddr, forwarded: bool) -> bool {
    peer.to_canonical().is_loopback() && !forwarded
}

/// One reason not to open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// A stable code for programs.
    pub code: &'static str,
    /// What is wrong.
    pub reason: String,
    /// What to do.
    pub remedy: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} [{}]; {}", self.reason, self.code, self.remedy)
    }
}

/// A proxy that ends TLS in front of this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BehindProxy {
    /// From where it comes: only then its `X-Forwarded-For` is believed.
    pub trusted: Vec<IpNet>,
}

/// A certificate of one's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM, the chain.
    pub certificate: PathBuf,
    /// PEM, the key; readable by this user alone.
    pub key: PathBuf,
    /// Permission bits of the key's file; `None` if it cannot be looked at.
    pub key_mode: Option<u32>,
}

/// Who can log in when the server has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogIn {
    /// There is an enabled admin with a password.
    Admin,
    /// Nobody yet; a link for the first admin is printed, works once and ends after an hour.
    FirstAdminLink,
    /// Whoever has `dev`'s link.
    DevLink,
    /// Nobody ever, or anybody.
    Nobody,
}

/// How the connection to PostgreSQL is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreFacts {
    /// A file of this machine.
    Sqlite,
    /// A server.
    Postgres {
        /// Through a unix socket, or on a loopback address.
        here: bool,
        /// Its `sslmode`.
        ssl_mode: String,
        /// Whether the role that is used is a superuser.
        superuser: bool,
    },
}

/// Everything that the door depends on.
#[derive(Debug, Clone)]
pub struct DoorConfig {
    /// Where to listen.
    pub listen: Vec<SocketAddr>,
    /// Why others than this machine may reach it, in somebody's words.
    pub reason: Option<String>,
    /// What people type into their browser.
    pub public_url: Option<String>,
    /// TLS ends before this server.
    pub behind_proxy: Option<BehindProxy>,
    /// TLS ends here.
    pub tls: Option<TlsFiles>,
    /// Who can log in.
    pub log_in: LogIn,
    /// Where the master key comes from.
    pub master_key: KeyOrigin,
    /// Where the history is.
    pub store: StoreFacts,
    /// Queues on which tasks may run shell commands; `None` = not said.
    pub shell_queues: Option<Vec<String>>,
    /// Whether the server may connect to where a connection points; `None` = not said.
    pub connection_test: Option<bool>,
    /// Whether the page that documents the API is served; `None` = not said.
    pub api_docs: Option<bool>,
    /// A session's idle and absolute life; `None` = the defaults.
    pub session: Option<(Duration, Duration)>,
}

impl DoorConfig {
    /// Loopback, everything else unsaid.
    pub fn local(listen: Vec<SocketAddr>, log_in: LogIn, master_key: KeyOrigin, store: StoreFacts) -> Self {
        Self {
            listen,
            reason: None,
            public_url: None,
            behind_proxy: None,
            tls: None,
            log_in,
            master_key,
            store,
            shell_queues: None,
            connection_test: None,
            api_docs: None,
            session: None,
        }
    }
}

/// Where shell commands may run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShellPolicy {
    /// Everywhere.
    Everywhere,
    /// On these queues.
    Queues(Vec<String>),
}

impl ShellPolicy {
    /// Whether a task on this queue may run shell commands.
    pub fn allows(&self, queue: &str) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Queues(queues) => queues.iter().any(|listed| listed == queue),
        }
    }
}

/// How the server opens.
#[derive(Debug, Clone)]
pub struct Door {
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// Others than this machine can reach it.
    pub exposed: bool,
    /// `public_url`, without a slash at its end.
    pub public_url: Option<String>,
    /// Origins that a browser's page may have.
    pub(crate) own: request::Own,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted: Vec<IpNet>,
    /// TLS ends here.
    pub tls: Option<TlsFiles>,
    /// Browsers see TLS: cookies are `Secure`, answers carry HSTS.
    pub secure: bool,
    /// How long sessions last, and how often one may try.
    pub auth: AuthConfig,
    /// Whether connections may be tested from here.
    pub connection_test: bool,
    /// Where shell commands may run.
    pub shell: ShellPolicy,
    /// Whether the page that documents the API is served.
    pub api_docs: bool,
    /// Nothing is sent to anybody: there is no telemetry, and no switch for it.
    pub telemetry: bool,
}

impl Door {
    /// Whether this principal may let the server connect to where a connection points.
    pub fn may_test_connections(&self, who: &Principal) -> bool {
        self.connection_test && who.allows(Permission::TestConnections)
    }

    /// The client's address: the peer, or what a trusted proxy says of it. Read from the right, hop by hop: what a
    /// client itself put in front is never believed.
    pub fn client(&self, peer: IpAddr, forwarded_for: &[&str]) -> IpAddr {
        let trusts = |address: IpAddr| self.trusted.iter().any(|network| network.contains(&address));
        let mut client = peer.to_canonical();
        let hops = forwarded_for.iter().rev().flat_map(|header| header.rsplit(','));
        for hop in hops {
            if !trusts(client) {
                break;
            }
            match address(hop.trim()) {
                Some(address) => client = address,
                None => break,
            }
        }
        client
    }
}

/// `1.2.3.4`, `1.2.3.4:80`, `::1`, `[::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let parsed = text.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    parsed.ok().or_else(bracketed).map(|address| address.to_canonical())
}

fn refusal(code: &'static str, reason: impl Into<String>, remedy: impl Into<String>) -> Refusal {
    Refusal { code, reason: reason.into(), remedy: remedy.into() }
}

/// Judges a configuration: the door, or everything that is wrong at once. A refused start ends with exit code 2.
///
/// # Errors
/// Each row of the table that is not met.
pub fn judge(config: &DoorConfig) -> Result<Door, Vec<Refusal>> {
    let elsewhere: Vec<&SocketAddr> =
        config.listen.iter().filter(|address| !address.ip().to_canonical().is_loopback()).collect();
    // A proxy on this machine lets in whoever reaches the proxy.
    let exposed = !elsewhere.is_empty() || config.behind_proxy.is_some();
    let mut refusals = Vec::new();
    let own = request::Own::read(config.public_url.as_deref(), exposed);
    let own = own.map_err(|refused| refusals.push(refused)).ok();
    if config.listen.is_empty() {
        refusals.push(refusal(
            "no_listen_address",
            "there is no address to listen on",
            "give one: --listen 127.0.0.1:8080",
        ));
    }
    if exposed {
        judge_exposed(config, &elsewhere, own.as_ref(), &mut refusals);
    }
    if let Some((idle, absolute)) = config.session
        && (idle.is_zero() || absolute.is_zero() || idle > absolute)
    {
        refusals.push(refusal(
            "session_life",
            "a session's idle life must be above zero and not above its absolute life",
            "correct them",
        ));
    }
    if let Some(tls) = &config.tls {
        judge_tls_key(tls, &mut refusals);
    }
    let Some(own) = own else { return Err(refusals) };
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let mut auth = if exposed { AuthConfig::exposed() } else { AuthConfig::local() };
    if let Some((idle, absolute)) = config.session {
        (auth.idle, auth.absolute) = (idle, absolute);
    }
    Ok(Door {
        listen: config.listen.clone(),
        exposed,
        public_url: own.url(),
        secure: own.is_https() || (config.tls.is_some() && config.public_url.is_none()),
        own,
        trusted: config.behind_proxy.as_ref().map(|proxy| proxy.trusted.clone()).unwrap_or_default(),
        tls: config.tls.clone(),
        auth,
        connection_test: config.connection_test.unwrap_or(!exposed),
        shell: match (&config.shell_queues, exposed) {
            (Some(queues), _) => ShellPolicy::Queues(queues.clone()),
            (None, true) => ShellPolicy::Queues(Vec::new()),
            (None, false) => ShellPolicy::Everywhere,
        },
        api_docs: config.api_docs.unwrap_or(!exposed),
        telemetry: false,
    })
}

/// The key is nobody else's; whether it fits its certificate shows when it is used.
fn judge_tls_key(tls: &TlsFiles, refusals: &mut Vec<Refusal>) {
    let place = tls.key.display();
    match tls.key_mode {
        Some(mode) if mode & 0o077 != 0 => refusals.push(refusal(
            "tls_key_readable_by_others",
            format!("the TLS key {place} can be read or written by others (mode {:o})", mode & 0o777),
            format!("chmod 600 {place}, and get a new certificate if others may have read it"),
        )),
        Some(_) => {}
        None => refusals.push(refusal(
            "tls_key_unreadable",
            format!("the TLS key {place} is not there, or cannot be looked at"),
            "check `server.tls.key` and who owns its folder",
        )),
    }
}

fn judge_exposed(
    config: &DoorConfig,
    elsewhere: &[&SocketAddr],
    own: Option<&request::Own>,
    refusals: &mut Vec<Refusal>,
) {
    let shown = elsewhere.first().map_or_else(|| "a proxy".to_owned(), ToString::to_string);
    if config.reason.as_deref().is_none_or(|reason| reason.trim().len() < 3) {
        refusals.push(refusal(
            "bind_without_reason",
            format!("{shown} lets others than this machine in, and nobody said why"),
            "say why: `--reason TEXT` or `server.reason` in updraft.yaml; or listen on 127.0.0.1",
        ));
    }
    match config.log_in {
        LogIn::Admin | LogIn::FirstAdminLink => {}
        LogIn::DevLink => refusals.push(refusal(
            "dev_is_local",
            format!("`updraft dev` logs in by a link that lasts as long as the process, which is not for {shown}"),
            "use `updraft serve`, which makes a first admin with a password",
        )),
        LogIn::Nobody => refusals.push(refusal(
            "no_admin",
            format!("nobody could log in on {shown}, and nobody may come in without"),
            "make an admin first: `updraft users add NAME --role admin`, or start on 127.0.0.1 and use the printed link",
        )),
    }
    if config.tls.is_none() && config.behind_proxy.is_none() {
        refusals.push(refusal(
            "plain_http",
            format!("passwords and sessions would cross the network to {shown} unencrypted"),
            "give a certificate (`server.tls: {certificate, key}`), or declare the proxy that ends TLS (`server.behind_proxy: {trusted: [cidr]}`)",
        ));
    }
    if let Some(proxy) = &config.behind_proxy {
        if proxy.trusted.is_empty() {
            refusals.push(refusal(
                "proxy_without_networks",
                "`server.behind_proxy` names no network that the proxy comes from",
                "list them: `server.behind_proxy: {trusted: [10.0.0.0/8]}`",
            ));
        }
        for network in proxy.trusted.iter().filter(|network| network.prefix_len() == 0) {
            refusals.push(refusal(
                "proxy_trusts_everybody",
                format!("`server.behind_proxy.trusted` holds {network}: everybody could claim any address"),
                "name the proxy's own network",
            ));
        }
    }
    if own.is_some_and(|own| !own.is_https()) {
        refusals.push(refusal(
            "public_url_is_plain",
            "`server.public_url` begins with http://, so that cookies would travel unencrypted",
            "use https://",
        ));
    }
    match &config.master_key {
        KeyOrigin::Text(_) | KeyOrigin::File(_) => {}
        KeyOrigin::Generated(path) => refusals.push(refusal(
            "master_key_not_given",
            format!("the master key would be generated into {}, beside what it seals", path.display()),
            format!(
                "give one by {} or `server.master_key_file` (0600), and keep a copy elsewhere",
                crate::vault::KEY_VARIABLE
            ),
        )),
    }
    match &config.store {
        StoreFacts::Sqlite => {}
        StoreFacts::Postgres { here, ssl_mode, superuser } => {
            if !here && ssl_mode != "verify-full" {
                refusals.push(refusal(
                    "database_without_tls",
                    format!("the connection to PostgreSQL uses sslmode={ssl_mode}, which does not prove who answers"),
                    "add `sslmode=verify-full&sslrootcert=PATH` to the store's address",
                ));
            }
            if *superuser {
                refusals.push(refusal(
                    "database_superuser",
                    "the database role is a superuser: a flaw here would be one of the whole server",
                    "make a role that owns the schema alone: CREATE ROLE updraft LOGIN; CREATE DATABASE updraft OWNER updraft",
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests;
