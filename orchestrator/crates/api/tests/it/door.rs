//! Who comes in, from where, and how much at a time.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use updraft_auth::Role;

use crate::support::Server;

#[tokio::test(flavor = "multi_thread")]
async fn people_log_in_by_password_or_link_and_log_out() {
    let server = Server::start().await;
    let cookie = server.cookie("ada", Role::Operator).await;
    let body = |password: &str| json!({ "name": "ada", "password": password });
    let (status, problem) = server.post("/api/v1/auth/login", "", body("wrong")).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNAUTHORIZED, &json!("bad_credentials")));
    let login =
        server.ask(Method::POST, "/api/v1/auth/login", "").json(&body("a long enough phrase 1")).send().await.unwrap();
    assert_eq!(login.status(), StatusCode::NO_CONTENT);
    let set = login.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(set.starts_with("updraft_session=") && set.contains("HttpOnly") && set.contains("SameSite=Lax"), "{set}");
    assert!(!set.contains("Secure"), "plain HTTP on loopback");

    let me = server.ask(Method::GET, "/api/v1/me", "").header("cookie", &cookie).send().await.unwrap();
    let me: Value = me.json().await.unwrap();
    assert_eq!((&me["name"], &me["kind"], &me["role"]), (&json!("ada"), &json!("user"), &json!("operator")));
    let out = server.ask(Method::POST, "/api/v1/auth/logout", "").header("cookie", &cookie);
    assert_eq!(out.header("sec-fetch-site", "same-origin").send().await.unwrap().status(), StatusCode::NO_CONTENT);
    let after = server.ask(Method::GET, "/api/v1/me", "").header("cookie", &cookie).send().await.unwrap();
    assert_eq!(after.status(), StatusCode::UNAUTHORIZED);

    let link = server.auth.dev_link(None).unwrap();
    for _ in 0..2 {
        let path = format!("/login-link?token={}", link.token.expose_secret());
        let led = server.get(&path, "").await;
        assert_eq!((led.status(), &led.headers()["location"]), (StatusCode::SEE_OTHER, &"/".parse().unwrap()));
        assert!(led.headers().contains_key("set-cookie"));
    }
    assert_eq!(server.get("/login-link?token=wrong", "").await.status(), StatusCode::GONE);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_page_changes_nothing_and_a_foreign_host_is_refused() {
    let server = Server::start().await;
    server.publish("w", json!({}), json!([{ "id": "a", "type": "act" }])).await;
    let cookie = server.cookie("ada", Role::Operator).await;
    let pause = || server.ask(Method::POST, "/api/v1/workflows/w/pause", "").header("cookie", &cookie).json(&json!({}));
    for (header, value, expected) in [
        ("sec-fetch-site", "cross-site", 403),
        ("sec-fetch-site", "same-site", 403),
        ("origin", "http://evil.example", 403),
        ("x-nothing", "x", 403),
        ("sec-fetch-site", "same-origin", 200),
        ("origin", server.url.as_str(), 200),
    ] {
        let response = pause().header(header, value).send().await.unwrap();
        assert_eq!(response.status().as_u16(), expected, "{header}: {value}");
    }
    let body = json!({ "name": "ada", "password": "a long enough phrase 1" });
    let login = server.ask(Method::POST, "/api/v1/auth/login", "").header("sec-fetch-site", "cross-site").json(&body);
    assert_eq!(login.send().await.unwrap().status(), StatusCode::FORBIDDEN);
    let token = server.token(Role::Viewer).await;
    let strange = server.ask(Method::GET, "/api/v1/me", &token).header("host", "evil.example").send().await.unwrap();
    assert_eq!(strange.status(), StatusCode::MISDIRECTED_REQUEST);
    let strange = server.ask(Method::GET, "/livez", "").header("host", "10.0.0.1").send().await.unwrap();
    assert_eq!(strange.status(), StatusCode::OK);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_and_times_have_limits() {
    let server = Server::with(|config| config.request_timeout = Duration::from_millis(500)).await;
    let token = server.token(Role::Operator).await;
    let large = json!({ "note": "x".repeat(1 << 20) });
    let (status, problem) = server.post("/api/v1/workflows/w/runs", &token, large).await;
    assert_eq!((status, &problem["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!("body_too_large")));
    let slow = futures::stream::once(async { Ok::<_, std::io::Error>("{".to_owned()) }).chain_pending();
    let request =
        server.ask(Method::POST, "/api/v1/workflows/w/runs", &token).header("content-type", "application/json");
    let response = request.body(reqwest::Body::wrap_stream(slow)).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["code"], "timeout");
    let plain = server.ask(Method::POST, "/api/v1/workflows/w/runs", &token).header("content-type", "text/plain");
    assert_eq!(plain.body("{}").send().await.unwrap().status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    server.end().await;
}

trait ChainPending: futures::Stream + Sized + Send + 'static {
    /// Goes on and never says anything more.
    fn chain_pending(self) -> impl futures::Stream<Item = Self::Item> + Send + 'static
    where
        Self::Item: Send,
    {
        use futures::StreamExt as _;
        self.chain(futures::stream::pending())
    }
}

impl<S: futures::Stream + Sized + Send + 'static> ChainPending for S {}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_lets_the_local_admin_in() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let server = Server::start().await;
    let path = server.folder.path().join("api.sock");
    let listener = updraft_api::Listener::unix(&path).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let serving = tokio::spawn(updraft_api::serve(server.app.clone(), vec![listener], server.stop.clone()));
    let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
    let head = "GET /api/v1/me HTTP/1.1\r\nhost: x\r\nx-updraft-actor: cli:ada@host\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("\"kind\":\"local\"") && answer.contains("cli:ada@host"), "{answer}");
    server.end().await;
    serving.await.unwrap();
    assert!(!path.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_the_same_is_served_and_the_cookie_is_secure() {
    let server = Server::start().await;
    let (chain, key) = (server.folder.path().join("chain.pem"), server.folder.path().join("key.pem"));
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&chain)
        .output();
    if !made.is_ok_and(|made| made.status.success()) {
        updraft_testkit::skip!("no openssl that makes a certificate");
    }
    let wrong = updraft_api::Listener::tls("127.0.0.1:0".parse().unwrap(), &key, &key).await;
    assert!(wrong.is_err_and(|error| error.to_string().contains("key.pem")));
    let listener = updraft_api::Listener::tls("127.0.0.1:0".parse().unwrap(), &chain, &key).await.unwrap();
    let address = listener.address().unwrap();
    let serving = tokio::spawn(updraft_api::serve(server.app.clone(), vec![listener], server.stop.clone()));
    // It is nobody's certificate: what counts here is who serves it, and that it is spoken.
    let client = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).build().unwrap();
    server.cookie("ada", Role::Viewer).await;
    let body = json!({ "name": "ada", "password": "a long enough phrase 1" });
    let login = client.post(format!("https://{address}/api/v1/auth/login")).json(&body).send().await.unwrap();
    assert_eq!(login.status(), StatusCode::NO_CONTENT);
    assert!(login.headers()["set-cookie"].to_str().unwrap().contains("; Secure"));
    // Plain HTTP and a peer that says nothing get no answer, and stop nobody else.
    assert!(client.get(format!("http://{address}/livez")).send().await.is_err());
    let silent = tokio::net::TcpStream::connect(address).await.unwrap();
    assert_eq!(client.get(format!("https://{address}/livez")).send().await.unwrap().status(), StatusCode::OK);
    drop(silent);
    server.end().await;
    serving.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn large_answers_are_packed_for_who_can_unpack_them() {
    let server = Server::start().await;
    let token = server.token(Role::Viewer).await;
    let client = reqwest::Client::builder().no_gzip().build().unwrap();
    let ask = |path: &str, packings: &'static str| {
        let request = client.get(format!("{}{path}", server.url)).bearer_auth(&token);
        request.header("accept-encoding", packings).send()
    };
    let plain = ask("/api/v1/openapi.json", "identity").await.unwrap();
    assert!(!plain.headers().contains_key("content-encoding"));
    let plain = plain.bytes().await.unwrap().len();
    for packing in ["br", "gzip"] {
        let packed = ask("/api/v1/openapi.json", packing).await.unwrap();
        assert_eq!(packed.headers()["content-encoding"], packing);
        let length = packed.bytes().await.unwrap().len();
        assert!(length * 4 < plain, "{packing}: {length} of {plain}");
    }
    let small = ask("/api/v1/me", "br, gzip").await.unwrap();
    assert!(!small.headers().contains_key("content-encoding"));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_the_api_is_for_who_is_known_and_only_where_it_is_on() {
    let server = Server::start().await;
    assert_eq!(server.get("/api/v1/docs", "").await.status(), StatusCode::UNAUTHORIZED);
    let token = server.token(Role::Viewer).await;
    let page = server.get("/api/v1/docs", &token).await;
    assert_eq!(page.status(), StatusCode::OK);
    assert!(page.text().await.unwrap().contains("POST /api/v1/workflows/{workflow}/runs"));
    server.end().await;

    let server = Server::with(|config| {
        let mut door = (*config.door).clone();
        door.api_docs = false;
        config.door = std::sync::Arc::new(door);
    })
    .await;
    let token = server.token(Role::Viewer).await;
    assert_eq!(server.get("/api/v1/docs", &token).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(server.get("/api/v1/openapi.json", &token).await.status(), StatusCode::OK);
    server.end().await;
}
