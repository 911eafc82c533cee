//! One call a page: a view comes with all that its page shows.

use reqwest::StatusCode;
use serde_json::{Value, json};
use updraft_auth::Role;

use crate::support::Server;

/// A workflow whose second task fails, with one run that has ended.
async fn ran() -> (Server, String, String) {
    let server = Server::start().await;
    let tasks = json!([
        { "id": "load", "type": "act", "with": { "say": "loaded" } },
        { "id": "check", "type": "act", "with": { "act": "fail" }, "depends_on": ["load"] },
    ]);
    server.publish("w", json!({}), tasks).await;
    let token = server.token(Role::Operator).await;
    let (_, run) = server.post("/api/v1/workflows/w/runs", &token, json!({})).await;
    let id = run["id"].as_str().unwrap().to_owned();
    server.ended(&id, &token).await;
    (server, token, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflows_view_has_its_facts_and_what_is_shown_alone() {
    let (server, token, run) = ran().await;
    let parts = ["grid", "graph", "runs", "durations", "calendar", "schedule", "code"];
    for show in parts {
        let view = server.json(&format!("/api/v1/workflows/w/view?show={show}"), &token).await;
        assert_eq!(view["workflow"], server.json("/api/v1/workflows/w", &token).await, "{show}");
        for part in parts {
            assert_eq!(view[part].is_null(), part != show, "{part} of {show}");
        }
    }
    let view = server.json("/api/v1/workflows/w/view", &token).await;
    assert_eq!((&view["grid"]["runs"][0]["id"], &view["grid"]["runs"][0]["cells"]), (&json!(run), &json!("sf")));
    let view = server.json("/api/v1/workflows/w/view?show=runs&state=succeeded", &token).await;
    assert_eq!(view["runs"]["items"], json!([]));
    let view = server.json("/api/v1/workflows/w/view?show=code&version=1&against=1", &token).await;
    let code = &view["code"];
    assert_eq!((&code["version"], code["versions"].as_array().unwrap().len()), (&code["against"], 1));
    for (path, status) in [
        ("/api/v1/workflows/none/view", StatusCode::NOT_FOUND),
        ("/api/v1/workflows/w/view?show=code&version=7", StatusCode::NOT_FOUND),
        ("/api/v1/workflows/w/view?show=all", StatusCode::BAD_REQUEST),
        ("/api/v1/workflows/w/view?show=grid&runs=0", StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(server.get(path, &token).await.status(), status, "{path}");
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_comes_with_its_commits_and_a_task_run_with_its_log() {
    let (server, token, run) = ran().await;
    let view = server.json(&format!("/api/v1/runs/{run}/view"), &token).await;
    assert!(view["events"].is_null());
    let view = server.json(&format!("/api/v1/runs/{run}/view?events=500"), &token).await;
    let events = server.json(&format!("/api/v1/runs/{run}/events?limit=500"), &token).await;
    assert_eq!(view["events"], events);
    let few = server.json(&format!("/api/v1/runs/{run}/view?events=1"), &token).await;
    assert!(few["events"]["items"].as_array().unwrap().len() == 1 && few["events"]["next"].is_string());
    assert_eq!(server.get(&format!("/api/v1/runs/{run}/view?events=501"), &token).await.status(), 400);

    let (status, again) = server.post(&format!("/api/v1/runs/{run}/retry"), &token, json!({ "what": "all" })).await;
    assert_eq!(status, StatusCode::OK, "{again}");
    server.ended(&run, &token).await;
    let task = |ask: &str| format!("/api/v1/runs/{run}/tasks/load{ask}");
    // A log may come a little later than the end of its run.
    let mut newest = server.json(&task(""), &token).await;
    for _ in 0..500 {
        if newest["log_attempt"] == 2 && newest["log_head"]["complete"] == true {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        newest = server.json(&task(""), &token).await;
    }
    assert_eq!(newest["log_attempt"], 2, "{}", newest["task_run"]);
    let head = &newest["log_head"];
    assert!(head["next"] == head["bytes"] && head["bytes"].as_u64().unwrap() > 0, "{head}");
    let first = server.json(&task("?attempt=1&line=1"), &token).await;
    assert_eq!((&first["log_attempt"], &first["log_head"]["items"][0]["line"]), (&json!(1), &json!(1)));
    let none = server.json(&task("?attempt=9"), &token).await;
    assert!(none["log_attempt"].is_null() && none["log_head"].is_null());
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_for_admins_tokens_for_all_and_forms_on_demand() {
    let server = Server::start().await;
    let (viewer, admin) = (server.token(Role::Viewer).await, server.token(Role::Admin).await);
    let seen = server.json("/api/v1/accounts", &viewer).await;
    assert!(seen["users"].is_null() && seen["tokens"]["items"].is_array(), "{seen}");
    let seen = server.json("/api/v1/accounts", &admin).await;
    assert_eq!(seen["users"], server.json("/api/v1/users?limit=500", &admin).await);
    let forms = |list: &Value| list["forms"].as_array().map(Vec::len);
    assert_eq!(forms(&server.json("/api/v1/connections", &viewer).await), None);
    let kinds = server.json("/api/v1/connections/kinds", &viewer).await;
    let listed = server.json("/api/v1/connections?forms=true", &viewer).await;
    assert_eq!(listed["forms"], kinds["items"]);
    server.end().await;
}
