//! Whether the services that a connection names answer: a TCP connection to each address, nothing sent.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};
use tokio::net::{TcpStream, lookup_host};

/// Looking a name up and connecting take no longer.
const LIMIT: Duration = Duration::from_secs(3);
/// Addresses of one connection that are tried.
const MOST: usize = 8;
/// Fields that hold an address with a scheme.
const URLS: [&str; 4] = ["base_url", "token_url", "url", "endpoint"];

/// One address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProbeCheck {
    /// `host:port`.
    pub address: String,
    /// It answers.
    pub ok: bool,
    /// What happened.
    pub text: String,
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Probed {
    /// All answer.
    pub ok: bool,
    /// In one sentence.
    pub text: String,
    /// Each.
    pub checks: Vec<ProbeCheck>,
}

/// The `host:port` that a connection's fields name; files and in-memory parts name none.
pub fn addresses(fields: &Map<String, Value>) -> Vec<String> {
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let mut found: Vec<String> = URLS.iter().filter_map(|name| of_url(text(name)?)).collect();
    let brokers = text("bootstrap_servers").unwrap_or_default();
    found.extend(brokers.split(',').map(str::trim).filter(|broker| !broker.is_empty()).map(str::to_owned));
    if let (Some(host), Some(port)) = (text("host"), fields.get("port").and_then(Value::as_u64)) {
        found.push(format!("{host}:{port}"));
    }
    found.sort();
    found.dedup();
    found
}

fn of_url(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let port = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.chars().all(|c| c.is_ascii_digit()));
    Some(if has_port { host.to_owned() } else { format!("{host}:{port}") })
}

/// Why a server that strangers can reach does not connect there on request: what is only inside this machine, or hands out
/// credentials by address.
pub fn refuse_address(address: IpAddr) -> Option<&'static str> {
    const METADATA: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);
    match address.to_canonical() {
        IpAddr::V4(v4) if v4.is_loopback() => Some("it is this machine"),
        IpAddr::V4(v4) if v4.is_unspecified() || v4.octets()[0] == 0 => Some("it is no address of a service"),
        IpAddr::V4(v4) if v4.is_link_local() || v4 == METADATA => Some("it is a link-local or metadata address"),
        IpAddr::V4(v4) if v4.is_multicast() || v4.is_broadcast() => Some("it is no address of a service"),
        IpAddr::V6(v6) if v6.is_loopback() => Some("it is this machine"),
        IpAddr::V6(v6) if v6.is_unspecified() || v6.is_multicast() => Some("it is no address of a service"),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Some("it is a link-local or metadata address"),
        // The metadata service of one cloud has an IPv6 address of its own.
        IpAddr::V6(v6) if v6.segments()[..2] == [0xfd00, 0x0ec2] => Some("it is a link-local or metadata address"),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

/// Connects to each address, at most eight of them, and hangs up. `exposed`: strangers can ask for it, and addresses that only
/// this machine should see are refused.
pub async fn probe(fields: &Map<String, Value>, exposed: bool) -> Probed {
    let mut checks = Vec::new();
    let named = addresses(fields);
    for address in named.iter().take(MOST).cloned() {
        let result = match tokio::time::timeout(LIMIT, connect(&address, exposed)).await {
            Ok(result) => result,
            Err(_) => Err(format!("no answer within {} s", LIMIT.as_secs())),
        };
        let ok = result.is_ok();
        checks.push(ProbeCheck { address, ok, text: result.map_or_else(|error| error, |()| "answers".to_owned()) });
    }
    let silent = checks.iter().filter(|check| !check.ok).count();
    let text = match (checks.len(), silent) {
        (0, _) => "the fields fit; there is no address to connect to".to_owned(),
        (all, 0) => format!("the fields fit, and {all} of {all} addresses answer"),
        (all, silent) => format!("{silent} of {all} addresses do not answer"),
    };
    let rest = match named.len().saturating_sub(MOST) {
        0 => String::new(),
        rest => format!("; {rest} more were not tried"),
    };
    Probed { ok: silent == 0, text: text + &rest, checks }
}

async fn connect(address: &str, exposed: bool) -> Result<(), String> {
    let found: Vec<SocketAddr> = lookup_host(address).await.map_err(|error| error.to_string())?.collect();
    if exposed {
        // All of them, and then the very ones that were looked at: a name cannot point elsewhere in between.
        if let Some(reason) = found.iter().find_map(|address| refuse_address(address.ip())) {
            return Err(format!("not tried, because {reason}"));
        }
    }
    TcpStream::connect(found.as_slice()).await.map(drop).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn addresses_are_read_from_every_form() {
        for (fields, expected) in [
            (json!({ "base_url": "https://user:pw@example.org/api?x" }), vec!["example.org:443"]),
            (
                json!({ "base_url": "http://127.0.0.1:8080/api", "token_url": "http://127.0.0.1:8080/t" }),
                vec!["127.0.0.1:8080"],
            ),
            (json!({ "endpoint": "http://[::1]:9000" }), vec!["[::1]:9000"]),
            (json!({ "url": ".updraft/lake" }), vec![]),
            (json!({ "embedded": true }), vec![]),
            (json!({ "bootstrap_servers": "a:9092, b:9093" }), vec!["a:9092", "b:9093"]),
            (json!({ "host": "mail", "port": 25 }), vec!["mail:25"]),
            (json!({ "url": "s3://bucket/prefix" }), vec![]),
        ] {
            assert_eq!(addresses(fields.as_object().expect("a map")), expected, "{fields}");
        }
    }

    #[test]
    fn inside_addresses_are_refused_in_every_spelling() {
        for inside in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "100.100.100.200",
            "224.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "fd00:ec2::254",
        ] {
            assert!(refuse_address(inside.parse().expect("an address")).is_some(), "{inside}");
        }
        for service in ["10.0.0.1", "192.168.1.1", "93.184.216.34", "2001:db8::1", "fd12::1"] {
            assert_eq!(refuse_address(service.parse().expect("an address")), None, "{service}");
        }
    }

    #[tokio::test]
    async fn what_listens_answers_and_an_exposed_server_does_not_look_inside() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let port = listener.local_addr().expect("an address").port();
        let fields = json!({ "host": "127.0.0.1", "port": port });
        let fields = fields.as_object().expect("a map");
        assert!(probe(fields, false).await.ok);
        let exposed = probe(fields, true).await;
        assert!(!exposed.ok && exposed.checks[0].text.contains("this machine"), "{exposed:?}");
        drop(listener);
        assert!(!probe(fields, false).await.ok);
    }
}
