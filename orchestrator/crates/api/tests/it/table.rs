//! Every route of the document: 401 without credentials, 403 below its role, something else with it.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use updraft_auth::Role;

use crate::support::Server;

/// Public, and nothing else.
const PUBLIC: [&str; 3] = ["POST /api/v1/auth/login", "GET /api/v1/auth/link", "POST /api/v1/auth/setup"];

struct Route {
    method: Method,
    path: String,
    role: String,
}

fn routes() -> Vec<Route> {
    let document: Value = serde_json::from_str(&updraft_api::openapi_json()).unwrap();
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let Ok(method) = method.to_uppercase().parse::<Method>() else { continue };
            let role = operation["x-minimum-role"].as_str().expect("every route says its role").to_owned();
            let path = path
                .replace("{run}", "00000000-0000-7000-8000-000000000000")
                .replace("{version}", "1")
                .replace("{n}", "1")
                .replace("{workflow}", "w")
                .replace("{task}", "t")
                .replace("{name}", "x")
                .replace("{id}", "x");
            assert!(!path.contains('{'), "{path}");
            routes.push(Route { method, path, role });
        }
    }
    routes
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_but_the_public_ones_asks_who_and_whether_they_may() {
    let server = Server::start().await;
    let mut tokens = Vec::new();
    for role in [Role::Viewer, Role::Operator, Role::Editor, Role::Admin] {
        tokens.push((role, server.token(role).await));
    }
    let routes = routes();
    assert!(routes.len() > 45, "{} routes", routes.len());
    let mut public = Vec::new();
    for route in &routes {
        let name = format!("{} {}", route.method, route.path);
        let ask = |token: &str| {
            let request = server.ask(route.method.clone(), &route.path, token);
            if route.method == Method::GET { request } else { request.json(&json!({})) }
        };
        let status = ask("").send().await.unwrap().status();
        if route.role == "none" {
            assert_ne!(status, StatusCode::FORBIDDEN, "{name}");
            public.push(name);
            continue;
        }
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{name} without credentials");
        assert_eq!(ask("upd_wrong").send().await.unwrap().status(), StatusCode::UNAUTHORIZED, "{name}, wrong token");
        let needs = Role::parse(&route.role).expect("a role");
        for (role, token) in &tokens {
            let status = ask(token).send().await.unwrap().status();
            if *role < needs {
                assert_eq!(status, StatusCode::FORBIDDEN, "{name} as {role}");
            } else {
                assert!(
                    status != StatusCode::UNAUTHORIZED && status != StatusCode::FORBIDDEN && !status.is_server_error(),
                    "{name} as {role}: {status}"
                );
            }
        }
    }
    public.sort();
    let mut expected: Vec<String> = PUBLIC.iter().map(ToString::to_string).collect();
    expected.sort();
    assert_eq!(public, expected);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_takes_away_and_what_is_outside_the_table_is_not_there() {
    let server = Server::start().await;
    let admin = server.token(Role::Admin).await;
    let (status, made) =
        server.post("/api/v1/tokens", &admin, json!({ "name": "ci", "role": "admin", "scopes": ["run"] })).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let narrow = made["token"].as_str().unwrap();
    assert_eq!(server.get("/api/v1/runs", narrow).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(server.get("/api/v1/me", narrow).await.status(), StatusCode::OK);
    let (status, problem) =
        server.post("/api/v1/tokens", &admin, json!({ "name": "ci", "role": "admin", "scopes": ["fly"] })).await;
    assert_eq!((status, problem["errors"][0]["path"].as_str()), (StatusCode::UNPROCESSABLE_ENTITY, Some("/scopes/0")));
    let refused = server.json("/api/v1/audit?action=access.denied", &admin).await["items"][0].clone();
    assert_eq!(
        (&refused["subject"], &refused["actor"], &refused["detail"]["method"], &refused["detail"]["left_out"]),
        (&json!("/api/v1/runs"), &json!("ci (admin (local))"), &json!("GET"), &json!(0)),
        "{refused}"
    );
    for path in ["/api/v1/nothing", "/api/v2/runs", "/api/v1"] {
        let response = server.get(path, &admin).await;
        assert!(response.status() == StatusCode::NOT_FOUND || path == "/api/v2/runs", "{path}: {}", response.status());
    }
    let listed = server.json("/api/v1/audit?action=token.create", &admin).await;
    assert_eq!(listed["items"][0]["actor"], "admin (local)");
    assert_eq!(server.json("/api/v1/audit/verify", &admin).await["ok"], true);
    server.end().await;
}
