//! Whether the services that connections name answer at all: a TCP connection, nothing sent.

use std::time::Duration;

use serde_json::{Map, Value};
use tokio::net::TcpStream;

/// Connecting takes no longer.
const LIMIT: Duration = Duration::from_secs(3);

/// Fields that hold an address with a scheme.
const URLS: [&str; 4] = ["base_url", "token_url", "url", "endpoint"];

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

/// Connects to an address and hangs up.
///
/// # Errors
/// Why it cannot be reached.
pub async fn probe(address: &str) -> Result<(), String> {
    match tokio::time::timeout(LIMIT, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!("{address}: {error}")),
        Err(_) => Err(format!("{address}: no answer within {} s", LIMIT.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn addresses_are_read_from_every_form() {
        for (fields, expected) in [
            (json!({ "base_url": "https://user:pw@example.org/api?x" }), vec!["example.org:443"]),
            (
                json!({ "base_url": "http://127.0.0.1:8080/api", "token_url": "http://127.0.0.1:8080/t" }),
                vec!["127.0.0.1:8080"],
            ),
            (json!({ "endpoint": "http://[::1]:9000" }), vec!["[::1]:9000"]),
            (json!({ "bootstrap_servers": "a:9092, b:9093" }), vec!["a:9092", "b:9093"]),
            (json!({ "host": "mail", "port": 25 }), vec!["mail:25"]),
            (json!({ "url": ".updraft/lake" }), vec![]),
            (json!({ "url": "s3://bucket/prefix" }), vec![]),
            (json!({ "embedded": true }), vec![]),
        ] {
            assert_eq!(addresses(fields.as_object().unwrap()), expected, "{fields}");
        }
    }

    #[tokio::test]
    async fn what_listens_is_reached_and_what_does_not_is_named() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert_eq!(probe(&address).await, Ok(()));
        drop(listener);
        assert!(probe(&address).await.unwrap_err().starts_with(&address));
    }
}
