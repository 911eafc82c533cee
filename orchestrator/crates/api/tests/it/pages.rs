//! What stands outside the API: pages, probes, metrics; and the headers of all of it.

use reqwest::{Method, StatusCode};
use updraft_auth::Role;

use crate::support::Server;

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_served_as_they_were_built() {
    let server = Server::start().await;
    for path in ["/", "/runs/1", "/login", "/setup?token=x"] {
        let page = server.get(path, "").await;
        assert_eq!(page.status(), StatusCode::OK, "{path}");
        assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
        let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
        assert!(policy.contains("script-src 'self';") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(page.headers()["x-content-type-options"], "nosniff");
        assert_eq!(page.headers()["referrer-policy"], "no-referrer");
        assert!(!page.headers().contains_key("access-control-allow-origin"));
    }
    let script = server.ask(Method::GET, "/assets/app-1.js", "").header("accept-encoding", "br").send().await.unwrap();
    assert_eq!(
        (&script.headers()["content-encoding"], &script.headers()["content-type"]),
        (&"br".parse().unwrap(), &"text/javascript".parse().unwrap())
    );
    assert!(script.headers()["cache-control"].to_str().unwrap().contains("immutable"));
    let tag = script.headers()["etag"].clone();
    let again =
        server.ask(Method::GET, "/assets/app-1.js", "").header("accept-encoding", "br").header("if-none-match", tag);
    assert_eq!(again.send().await.unwrap().status(), StatusCode::NOT_MODIFIED);
    assert_eq!(server.get("/assets/none.js", "").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(server.ask(Method::POST, "/", "").send().await.unwrap().status(), StatusCode::METHOD_NOT_ALLOWED);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_are_bare_and_metrics_are_for_this_machine() {
    let server = Server::start().await;
    for path in ["/livez", "/readyz"] {
        let probe = server.get(path, "").await;
        assert_eq!(probe.status(), StatusCode::OK, "{path}");
        assert!(probe.text().await.unwrap().is_empty());
    }
    let token = server.token(Role::Viewer).await;
    server.json("/api/v1/runs", &token).await;
    let text = server.get("/metrics", "").await.text().await.unwrap();
    assert!(
        text.contains("updraft_http_requests_total{method=\"GET\",route=\"/api/v1/runs\",status=\"200\"} 1"),
        "{text}"
    );
    let documented = include_str!("../../../../../docs/metrics.md");
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = line.split(' ').next().unwrap();
        assert!(documented.contains(&format!("`{name}")), "{name} is not in docs/metrics.md");
    }
    let passed_on = server.ask(Method::GET, "/metrics", "").header("x-forwarded-for", "10.0.0.9").send().await.unwrap();
    assert_eq!(passed_on.status(), StatusCode::NOT_FOUND);
    let named = server.ask(Method::GET, "/livez", "").header("x-request-id", "abc-1").send().await.unwrap();
    assert_eq!(named.headers()["x-request-id"], "abc-1");
    server.end().await;
}
