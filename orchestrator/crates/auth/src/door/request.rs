//! What a request must look like before anybody asks who sent it: its `Host`, and where its page came from.

use super::{Door, Refusal, refusal};

/// The origins and hosts that are this server's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Own {
    /// `localhost`, `127.0.0.1`, `[::1]`, on any port: what a browser on this machine uses.
    Loopback,
    /// Exactly this.
    Public {
        /// `https` or `http`.
        https: bool,
        /// Host, with its port unless that is the scheme's own.
        authority: String,
    },
}

impl Own {
    /// Reads `public_url`.
    pub(super) fn read(public_url: Option<&str>, exposed: bool) -> Result<Self, Refusal> {
        let Some(url) = public_url else {
            if exposed {
                return Err(refusal(
                    "public_url_missing",
                    "without `server.public_url` nobody can tell this server's own pages from others' (DNS rebinding, CSRF)",
                    "say what people type: `server: {public_url: https://updraft.example.org}`",
                ));
            }
            return Ok(Self::Loopback);
        };
        let wrong = |reason: &str| {
            refusal(
                "public_url_malformed",
                format!("`server.public_url` {reason}"),
                "write scheme, host and port alone: https://updraft.example.org",
            )
        };
        let (scheme, rest) = url.trim_end_matches('/').split_once("://").ok_or_else(|| wrong("has no scheme"))?;
        let https = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(wrong("is neither https:// nor http://")),
        };
        if rest.contains(['/', '?', '#', '@', ' ', '*', '\\']) {
            return Err(wrong("holds more than a host and a port"));
        }
        let (host, port) = split(rest).ok_or_else(|| wrong("holds no good host and port"))?;
        Ok(Self::Public { https, authority: authority(&host, port, https) })
    }

    pub(super) fn is_https(&self) -> bool {
        match self {
            Self::Loopback => false,
            Self::Public { https, .. } => *https,
        }
    }

    pub(super) fn url(&self) -> Option<String> {
        match self {
            Self::Loopback => None,
            Self::Public { https, authority } => Some(format!("{}://{authority}", scheme(*https))),
        }
    }
}

fn scheme(https: bool) -> &'static str {
    if https { "https" } else { "http" }
}

fn authority(host: &str, port: Option<u16>, https: bool) -> String {
    match port.filter(|port| *port != if https { 443 } else { 80 }) {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// Host in lower case (an IPv6 address with its brackets) and port.
fn split(authority: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (inside, after) = rest.split_once(']')?;
            inside.parse::<std::net::Ipv6Addr>().ok()?;
            (format!("[{}]", inside.to_ascii_lowercase()), after.strip_prefix(':').or(after.is_empty().then_some(""))?)
        }
        None => match authority.rsplit_once(':') {
            Some((host, port)) => (host.to_ascii_lowercase(), if port.is_empty() { return None } else { port }),
            None => (authority.to_ascii_lowercase(), ""),
        },
    };
    let plain = |c: u8| c.is_ascii_alphanumeric() || b".-_[]:".contains(&c);
    if host.is_empty() || !host.bytes().all(plain) || (!host.starts_with('[') && host.contains(':')) {
        return None;
    }
    let port = if port.is_empty() { None } else { Some(port.parse::<u16>().ok()?) };
    Some((host, port))
}

fn is_loopback_name(host: &str) -> bool {
    ["localhost", "127.0.0.1", "[::1]"].contains(&host)
}

/// The `Host` is not this server's: a page of another site, under a name that points here. Answer 421.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the Host {host} is not this server's; it is reached at {own}")]
pub struct HostRefusal {
    /// What was asked for, cut.
    pub host: String,
    /// What is right.
    pub own: String,
}

/// Whether a request's `Host` (or `:authority`) is this server's. `/livez` and `/readyz` need not ask: they tell nothing,
/// and probes call by address.
///
/// # Errors
/// It is missing or another's.
pub fn check_host(host: Option<&str>, door: &Door) -> Result<(), HostRefusal> {
    let refused = || HostRefusal {
        host: host.map_or_else(|| "(none)".to_owned(), |host| host.chars().take(100).collect()),
        own: door.own.url().unwrap_or_else(|| "localhost, 127.0.0.1 or [::1]".to_owned()),
    };
    let (name, port) = host.and_then(split).ok_or_else(refused)?;
    let good = match &door.own {
        Own::Loopback => is_loopback_name(&name),
        Own::Public { https, authority: own } => authority(&name, port, *https) == *own,
    };
    if good { Ok(()) } else { Err(refused()) }
}

/// A page of another site sent it. Answer 403.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CsrfRefusal {
    /// The browser says so.
    #[error("the request was sent by a page of another site (Sec-Fetch-Site: {0})")]
    CrossSite(String),
    /// The `Origin` is another's.
    #[error("the request was sent by a page of {0}, not of this server")]
    OtherOrigin(String),
    /// Neither header: no browser of this decade, so it should not carry a cookie.
    #[error(
        "a request that changes something with a cookie needs Sec-Fetch-Site or Origin; programs use a bearer token"
    )]
    Unknown,
}

/// Whether a request that carries the cookie comes from this server's own pages. Safe methods change nothing; requests
/// with a bearer token need not ask.
///
/// # Errors
/// It comes from elsewhere, or nobody can tell.
pub fn check_origin(
    method: &str,
    sec_fetch_site: Option<&str>,
    origin: Option<&str>,
    host: Option<&str>,
    door: &Door,
) -> Result<(), CsrfRefusal> {
    if ["GET", "HEAD", "OPTIONS"].contains(&method) {
        return Ok(());
    }
    match sec_fetch_site {
        Some("same-origin" | "none") => return Ok(()),
        Some(other) => return Err(CsrfRefusal::CrossSite(other.chars().take(40).collect())),
        None => {}
    }
    let Some(origin) = origin else { return Err(CsrfRefusal::Unknown) };
    let other = || CsrfRefusal::OtherOrigin(origin.chars().take(100).collect());
    let (scheme, rest) = origin.split_once("://").ok_or_else(other)?;
    let (name, port) = split(rest).ok_or_else(other)?;
    let same = match &door.own {
        // The very address that the page was loaded from: another local server is another origin.
        Own::Loopback => {
            let asked = host.and_then(split);
            let https = scheme == "https";
            let expected = if door.tls.is_some() { https } else { scheme == "http" };
            expected
                && is_loopback_name(&name)
                && asked.is_some_and(|(host, of)| authority(&host, of, https) == authority(&name, port, https))
        }
        Own::Public { https, authority: own } => {
            scheme == self::scheme(*https) && authority(&name, port, *https) == *own
        }
    };
    if same { Ok(()) } else { Err(other()) }
}
