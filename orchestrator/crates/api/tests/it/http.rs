//! What a program meets that makes mistakes: every refusal is a problem with an id, whatever layer it comes from.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use updraft_auth::Role;

use crate::support::Server;

async fn refused(request: RequestBuilder) -> (u16, String) {
    let response = request.header("accept-encoding", "gzip").send().await.unwrap();
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/problem+json", "{status}");
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let problem: Value = response.json().await.unwrap();
    assert_eq!((problem["request_id"].as_str(), problem["status"].as_u64()), (Some(&*id), Some(status.into())));
    assert_eq!(problem["type"], "about:blank");
    (status, problem["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_problems_whatever_layer_they_come_from() {
    let server = Server::start().await;
    server.publish("w", json!({}), json!([{ "id": "a", "type": "act" }])).await;
    let token = server.token(Role::Operator).await;
    let runs = "/api/v1/workflows/w/runs";
    let get = |path: &str| server.ask(Method::GET, path, &token);
    let json_body = |text: &'static str| {
        server.ask(Method::POST, runs, &token).header("content-type", "application/json").body(text)
    };
    let cases: Vec<(RequestBuilder, u16, &str)> = vec![
        (get("/api/v1/nothing"), 404, "not_found"),
        (get("/api/v1"), 404, "not_found"),
        (get("/api/v2/runs"), 404, "not_found"),
        (get("/api"), 404, "not_found"),
        (get("/assets/gone.js"), 404, "not_found"),
        (get("/api/v1/workflows/%00"), 404, "not_found"),
        (get("/api/v1/workflows/%ff"), 400, "bad_path"),
        (get("/api/v1/runs/abc"), 400, "bad_path"),
        (get("/api/v1/runs?limit=0"), 400, "bad_query"),
        (get("/api/v1/runs?limit=501"), 400, "bad_query"),
        (get("/api/v1/runs?until="), 400, "bad_query"),
        (get("/api/v1/runs?cursor="), 400, "bad_cursor"),
        (get("/api/v1/runs?unknown=1"), 400, "bad_query"),
        (get("/api/v1/runs?%ff=1"), 400, "bad_query"),
        (server.ask(Method::DELETE, "/api/v1/status", &token), 405, "method_not_allowed"),
        (server.ask(Method::OPTIONS, "/api/v1/status", &token), 405, "method_not_allowed"),
        (server.ask(Method::from_bytes(b"BREW").unwrap(), "/", ""), 405, "method_not_allowed"),
        (server.ask(Method::POST, runs, &token).body("{}"), 415, "media_type"),
        (json_body("{}").header("content-encoding", "gzip"), 415, "media_type"),
        (json_body("{bad"), 400, "bad_json"),
        (json_body("{} {}"), 400, "bad_json"),
        (json_body("\u{feff}{}"), 400, "bad_json"),
        (json_body("{\"params\": 1e400}"), 400, "bad_json"),
        (json_body("[]"), 422, "body_unfit"),
        (json_body("\"text\""), 422, "body_unfit"),
        (json_body("{\"note\": \"a\", \"note\": \"b\"}"), 422, "body_unfit"),
        (server.ask(Method::GET, "/api/v1/runs", ""), 401, "unauthenticated"),
        (server.ask(Method::GET, "/api/v1/users", &token), 403, "forbidden"),
    ];
    for (request, status, code) in cases {
        let shown = format!("{request:?}");
        let found = refused(request).await;
        assert_eq!((found.0, found.1.as_str()), (status, code), "{shown}");
    }
    let admin = server.token(Role::Admin).await;
    let long = "x".repeat(501);
    for (method, path, body) in [
        (Method::POST, "/api/v1/users", json!({ "name": "ada", "role": "viewer", "reason": long })),
        (Method::PATCH, "/api/v1/users/ada", json!({ "disabled": true, "reason": long })),
        (Method::PUT, "/api/v1/connections/shop", json!({ "kind": "http", "fields": {}, "reason": long })),
        (Method::POST, "/api/v1/tokens", json!({ "name": "t", "role": "viewer", "reason": long })),
        (Method::POST, "/api/v1/workflows/w/pause", json!({ "reason": long })),
    ] {
        let found = refused(server.ask(method, path, &admin).json(&body)).await;
        assert_eq!((found.0, found.1.as_str()), (422, "body_unfit"), "{path}");
    }
    let allowed = server.ask(Method::DELETE, "/api/v1/status", &token).send().await.unwrap();
    assert_eq!(allowed.headers()["allow"], "GET,HEAD");
    assert_eq!(server.json("/api/v1/runs", &token).await["items"], json!([]));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_hold_across_packings_and_only_for_reads() {
    let server = Server::start().await;
    let token = server.token(Role::Operator).await;
    let path = "/api/v1/openapi.json";
    let ask = |packing: &str| server.ask(Method::GET, path, &token).header("accept-encoding", packing);
    let plain = ask("identity").send().await.unwrap();
    let tag = plain.headers()["etag"].clone();
    // The client unpacks gzip by itself, and hides it.
    for packing in ["br"] {
        let packed = ask(packing).send().await.unwrap();
        assert_eq!(
            (&packed.headers()["content-encoding"], &packed.headers()["etag"]),
            (&packing.parse().unwrap(), &tag)
        );
        assert!(packed.headers()["vary"].to_str().unwrap().contains("accept-encoding"));
        let known = ask(packing).header("if-none-match", &tag).send().await.unwrap();
        assert_eq!((known.status(), &known.headers()["etag"]), (StatusCode::NOT_MODIFIED, &tag));
        assert!(known.bytes().await.unwrap().is_empty());
    }
    let other = ask("gzip").header("if-none-match", "\"other\"").send().await.unwrap();
    assert_eq!(other.status(), StatusCode::OK);
    server.publish("w", json!({}), json!([{ "id": "a", "type": "act" }])).await;
    let pause = server.ask(Method::POST, "/api/v1/workflows/w/pause", &token).header("if-none-match", "*");
    assert_eq!(pause.send().await.unwrap().status(), StatusCode::OK);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_of_requests_are_the_callers_if_they_are_plain() {
    let server = Server::start().await;
    let id = async |given: &str| {
        let response = server.ask(Method::GET, "/livez", "").header("x-request-id", given).send().await.unwrap();
        response.headers()["x-request-id"].to_str().unwrap().to_owned()
    };
    assert_eq!(id("a-B_1.:").await, "a-B_1.:");
    for odd in ["a b", "<script>", "\u{e9}", &"x".repeat(129)] {
        let made = id(odd).await;
        assert!(uuid::Uuid::parse_str(&made).is_ok(), "{odd}: {made}");
    }
    server.end().await;
}
