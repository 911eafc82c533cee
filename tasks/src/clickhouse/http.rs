//! The HTTP below the client. The crate's own default reads the machine's certificates whatever the URL says, and panics where there
//! are none.

use std::time::Duration;

use clickhouse::Client;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::aws_lc_rs::default_provider;

const KEEPALIVE: Duration = Duration::from_mins(1);
/// Servers close what was idle for 3 s.
const IDLE: Duration = Duration::from_secs(2);

/// For `http`.
pub(super) fn plain() -> Client {
    Client::with_http_client(Http::builder(TokioExecutor::new()).pool_idle_timeout(IDLE).build(tcp()))
}

/// For `https`.
///
/// # Errors
/// The machine has no certificates to trust.
pub(super) fn tls() -> Result<Client, String> {
    let mut tcp = tcp();
    tcp.enforce_http(false);
    let tls = HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(default_provider())
        .map_err(|error| format!("`url` is https, and this machine has no certificates of authorities: {error}"))?
        .https_only()
        .enable_http1()
        .wrap_connector(tcp);
    Ok(Client::with_http_client(Http::builder(TokioExecutor::new()).pool_idle_timeout(IDLE).build(tls)))
}

fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp
}
