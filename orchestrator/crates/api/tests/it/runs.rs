//! Runs by hand: params, keys, dates, plans, problems, pages, tags, logs.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use updraft_auth::Role;

use crate::support::Server;

async fn trigger(server: &Server, token: &str, key: &str, body: Value) -> (StatusCode, Value) {
    let request = server.ask(Method::POST, "/api/v1/workflows/w/runs", token).header("idempotency-key", key);
    let response = request.json(&body).send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

async fn published() -> (Server, String) {
    let server = Server::start().await;
    let params = json!({ "params": { "limit": { "type": "integer", "default": 3, "minimum": 1 } } });
    let tasks = json!([
        { "id": "load", "type": "act", "with": { "say": "{{ params.limit }}" } },
        { "id": "check", "type": "act", "with": { "act": "fail" }, "depends_on": ["load"] },
        { "id": "report", "type": "act", "depends_on": ["check"] },
    ]);
    server.publish("w", params, tasks).await;
    let token = server.token(Role::Operator).await;
    (server, token)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_makes_one_run_and_another_body_is_refused() {
    let (server, token) = published().await;
    let body = json!({ "params": { "limit": 7 }, "note": "by hand", "logical_date": "2026-01-31T09:30:00Z" });
    let (status, first) = trigger(&server, &token, "k1", body.clone()).await;
    assert_eq!(status, StatusCode::CREATED, "{first}");
    assert_eq!(
        (&first["workflow"], &first["trigger"], &first["params"]["limit"]),
        (&json!("w"), &json!("api"), &json!(7))
    );
    assert_eq!((&first["note"], &first["logical_date"]), (&json!("by hand"), &json!("2026-01-31T09:30:00.000Z")));
    let (status, again) = trigger(&server, &token, "k1", body).await;
    assert_eq!((status, &again["id"]), (StatusCode::OK, &first["id"]));
    let (status, other) = trigger(&server, &token, "k1", json!({ "params": { "limit": 8 } })).await;
    assert_eq!((status, &other["code"]), (StatusCode::CONFLICT, &json!("idempotency_key_reused")));
    let (status, second) = trigger(&server, &token, "k2", json!({})).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_ne!(second["id"], first["id"]);

    let run = server.ended(first["id"].as_str().unwrap(), &token).await;
    assert_eq!(run["state"], "failed");
    let sentence = run["sentence"].as_str().unwrap();
    assert!(
        sentence.starts_with("Failed after") && sentence.contains("at `check`: it is broken; 1 task did not run."),
        "{sentence}"
    );
    assert_eq!((&run["failure"]["task"], &run["failure"]["line"]), (&json!("check"), &json!("it is broken")));
    assert_eq!(run["actions"]["retry"], json!({ "label": "Re-run 2 tasks", "tasks": 2 }));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn params_that_do_not_fit_are_told_with_their_place_and_make_nothing() {
    let (server, token) = published().await;
    let (status, problem) = trigger(&server, &token, "k", json!({ "params": { "limit": 0, "lim": 1 } })).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("params_unfit")));
    let told: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|one| (&one["code"], &one["path"])).collect();
    assert_eq!(
        told,
        [(&json!("param_unknown"), &json!("/params/lim")), (&json!("param_unfit"), &json!("/params/limit"))]
    );
    assert!(problem["request_id"].as_str().is_some_and(|id| !id.is_empty()) && problem["status"] == 422);
    // The key is free again.
    let (status, _) = trigger(&server, &token, "k", json!({})).await;
    assert_eq!(status, StatusCode::CREATED);
    let (status, problem) = server.post("/api/v1/workflows/none/runs", &token, json!({})).await;
    assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("not_found")));
    let (status, problem) = server.post("/api/v1/workflows/w/runs", &token, json!({ "parms": {} })).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("body_unfit")), "{problem}");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_would_happen_and_does_nothing() {
    let (server, token) = published().await;
    let (status, plan) = server.post("/api/v1/workflows/w/runs?dry_run=true", &token, json!({})).await;
    assert_eq!((status, &plan["text"]), (StatusCode::OK, &json!("Start 1 run of 3 tasks")), "{plan}");
    assert_eq!(plan["tasks"].as_array().unwrap().len(), 3);
    let (status, plan) = server.post("/api/v1/workflows/w/pause?dry_run=true", &token, json!({})).await;
    assert_eq!((status, &plan["action"]), (StatusCode::OK, &json!("pause")));
    assert_eq!(server.json("/api/v1/runs", &token).await["items"], json!([]));
    assert_eq!(server.json("/api/v1/workflows/w", &token).await["paused"], false);

    let (status, plan) = server.post("/api/v1/workflows/w/unpause?dry_run=true", &token, Value::Null).await;
    assert_eq!((status, &plan["action"]), (StatusCode::OK, &json!("unpause")));
    let (status, paused) = server.post("/api/v1/workflows/w/pause", &token, json!({ "reason": "holidays" })).await;
    assert_eq!((status, &paused["paused"]), (StatusCode::OK, &json!(true)), "{paused}");
    let admin = server.token(Role::Admin).await;
    let entry = server.json("/api/v1/audit?action=workflow.pause", &admin).await["items"][0].clone();
    assert_eq!(
        (&entry["subject"], &entry["reason"], &entry["from"]),
        (&json!("w"), &json!("holidays"), &json!("127.0.0.1"))
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_tasks_run_again_and_states_are_set_by_hand() {
    let (server, token) = published().await;
    let (_, run) = server.post("/api/v1/workflows/w/runs", &token, json!({})).await;
    let id = run["id"].as_str().unwrap().to_owned();
    server.ended(&id, &token).await;
    let (status, plan) = server.post(&format!("/api/v1/runs/{id}/retry?dry_run=true"), &token, json!({})).await;
    assert_eq!((status, &plan["text"]), (StatusCode::OK, &json!("Re-run 2 tasks")), "{plan}");
    let (status, again) = server.post(&format!("/api/v1/runs/{id}/retry"), &token, json!({ "reason": "again" })).await;
    assert_eq!(status, StatusCode::OK, "{again}");
    let run = server.ended(&id, &token).await;
    assert_eq!(run["generation"], 1);
    let tasks = server.json(&format!("/api/v1/runs/{id}/tasks"), &token).await;
    let check = tasks["items"].as_array().unwrap().iter().find(|one| one["task"] == "check").unwrap().clone();
    let attempts: Vec<_> = check["attempts"].as_array().unwrap().iter().map(|one| one["n"].as_u64().unwrap()).collect();
    assert_eq!(attempts, [1, 2], "{check}");
    let note = |body: Value| server.ask(Method::PATCH, &format!("/api/v1/runs/{id}"), &token).json(&body).send();
    let noted: Value = note(json!({ "note": "seen" })).await.unwrap().json().await.unwrap();
    assert_eq!(noted["note"], "seen");
    // What was forgotten does not take the note away; null does.
    assert_eq!(note(json!({})).await.unwrap().status(), StatusCode::UNPROCESSABLE_ENTITY);
    let noted: Value = note(json!({ "note": null })).await.unwrap().json().await.unwrap();
    assert_eq!(noted["note"], Value::Null);
    let mark = json!({ "state": "succeeded", "tasks": ["check"] });
    let (status, marked) = server.post(&format!("/api/v1/runs/{id}/mark"), &token, mark).await;
    assert_eq!(status, StatusCode::OK, "{marked}");
    let (status, problem) = server.post(&format!("/api/v1/runs/{id}/repair"), &token, json!({})).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("refused")));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_have_pages_and_what_did_not_change_is_not_sent_again() {
    let (server, token) = published().await;
    for _ in 0..5 {
        let (status, _) = server.post("/api/v1/workflows/w/runs", &token, json!({})).await;
        assert_eq!(status, StatusCode::CREATED);
    }
    let mut seen = Vec::new();
    let mut path = "/api/v1/runs?limit=2".to_owned();
    loop {
        let page = server.json(&path, &token).await;
        seen.extend(page["items"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/runs?limit=2&cursor={next}");
    }
    let mut sorted = seen.clone();
    sorted.sort();
    sorted.dedup();
    sorted.reverse();
    assert_eq!((seen.len(), &seen), (5, &sorted), "newest first, each once");
    for bad in ["limit=0", "limit=501", "limit=x", "cursor=zzz", "state=good", "since=soon", "colour=red"] {
        let response = server.get(&format!("/api/v1/runs?{bad}"), &token).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{bad}");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
    for id in &seen {
        server.ended(id, &token).await;
    }
    let failed = server.json("/api/v1/runs?state=failed,running&state=queued&workflow=w", &token).await;
    assert_eq!(failed["items"].as_array().unwrap().len(), 5);
    let path = "/api/v1/workflows/w/versions";
    let first = server.get(path, &token).await;
    let tag = first.headers()["etag"].to_str().unwrap().to_owned();
    let second = server.ask(Method::GET, path, &token).header("if-none-match", &tag).send().await.unwrap();
    assert_eq!(second.status(), StatusCode::NOT_MODIFIED);
    assert!(second.bytes().await.unwrap().is_empty());
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_answer_in_one_call_each() {
    let (server, token) = published().await;
    let (_, run) = server.post("/api/v1/workflows/w/runs", &token, json!({})).await;
    let id = run["id"].as_str().unwrap().to_owned();
    server.ended(&id, &token).await;
    let home = server.json("/api/v1/home", &token).await;
    assert_eq!((&home["counts"]["failed"], &home["incidents"][0]["kind"]), (&json!(1), &json!("run_failed")), "{home}");
    assert_eq!(home["incidents"][0]["cause"], "it is broken");
    let list = server.json("/api/v1/workflows", &token).await;
    assert_eq!((&list["items"][0]["id"], &list["items"][0]["attention"]), (&json!("w"), &json!("failing")));
    let grid = server.json("/api/v1/workflows/w/grid", &token).await;
    assert_eq!(grid["runs"][0]["cells"], "sfu");
    let view = server.json(&format!("/api/v1/runs/{id}/view"), &token).await;
    assert_eq!(view["graph"]["nodes"].as_array().unwrap().len(), 3);
    assert_eq!(view["critical_path"], json!(["load", "check"]));
    let task = server.json(&format!("/api/v1/runs/{id}/tasks/load"), &token).await;
    assert_eq!(
        (&task["params_written"]["say"], &task["params_rendered"]["say"]),
        (&json!("{{ params.limit }}"), &json!(3))
    );
    assert_eq!(task["output"], json!({ "said": 3 }));
    let said: Value = server.json(&format!("/api/v1/runs/{id}/tasks/check"), &token).await;
    assert_eq!(said["task_run"]["error"]["line"], "it is broken");
    for path in [
        "/api/v1/workflows/w",
        "/api/v1/workflows/w/graph",
        "/api/v1/workflows/w/durations",
        "/api/v1/workflows/w/calendar?zone=Europe/Berlin",
        "/api/v1/workflows/w/schedule",
        "/api/v1/workflows/w/versions/1",
        "/api/v1/schedules/next",
        "/api/v1/status",
        "/api/v1/task-types",
        "/api/v1/connections",
        "/api/v1/connections/kinds",
        "/api/v1/openapi.json",
    ] {
        server.json(path, &token).await;
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_asked_for_at_one_time_makes_one_run() {
    let (server, token) = published().await;
    let asked = (0..8).map(|_| trigger(&server, &token, "k", json!({ "note": "x" })));
    let answers = futures::future::join_all(asked).await;
    let made: Vec<_> = answers.iter().filter(|(status, _)| *status == StatusCode::CREATED).collect();
    assert_eq!(made.len(), 1, "{answers:?}");
    for (status, answer) in &answers {
        match status.as_u16() {
            200 | 201 => assert_eq!(answer["id"], made[0].1["id"]),
            _ => assert_eq!((status.as_u16(), &answer["code"]), (409, &json!("idempotency_in_progress"))),
        }
    }
    let (status, again) = trigger(&server, &token, "k", json!({ "note": "x" })).await;
    assert_eq!((status, &again["id"]), (StatusCode::OK, &made[0].1["id"]));
    let runs = server.json("/api/v1/runs?workflow=w", &token).await;
    assert_eq!(runs["items"].as_array().unwrap().len(), 1);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_each_callers_own_and_outlive_what_they_were_checked_against() {
    let (server, token) = published().await;
    let body = json!({ "params": { "limit": 7 } });
    let (_, first) = trigger(&server, &token, "k", body.clone()).await;
    // Another caller's key of the same name is another key.
    let other = server.token(Role::Admin).await;
    let (status, second) = trigger(&server, &other, "k", body.clone()).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_ne!(first["id"], second["id"]);
    // What was made is answered, also when it could not be made any more.
    server.publish("w", json!({}), json!([{ "id": "load", "type": "act" }])).await;
    let (status, again) = trigger(&server, &token, "k", body.clone()).await;
    assert_eq!((status, &again["id"]), (StatusCode::OK, &first["id"]), "{again}");
    let (status, problem) = trigger(&server, &token, "new", body).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("params_unfit")));
    for bad in ["", "a b", "é"] {
        let request =
            server.ask(Method::POST, "/api/v1/workflows/w/runs", &token).header("idempotency-key", bad.as_bytes());
        let response = request.json(&json!({})).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{bad}");
    }
    let twice = server.ask(Method::POST, "/api/v1/workflows/w/runs", &token);
    let twice =
        twice.header("idempotency-key", "a").header("idempotency-key", "b").json(&json!({})).send().await.unwrap();
    assert_eq!(twice.status(), StatusCode::BAD_REQUEST);
    server.end().await;
}

/// Whoever forgets the value must not get the real thing.
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_without_a_value_is_refused() {
    let (server, token) = published().await;
    for query in ["dry_run", "dry_run=", "dry_run=1", "dry_run=yes", "dry_run=true&dry_run=true"] {
        let (status, problem) = server.post(&format!("/api/v1/workflows/w/runs?{query}"), &token, json!({})).await;
        assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!("bad_query")), "{query}");
    }
    assert_eq!(server.json("/api/v1/runs", &token).await["items"], json!([]));
    server.end().await;
}
