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
