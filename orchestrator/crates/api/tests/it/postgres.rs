//! The same on PostgreSQL: triggers and their keys, lists, pages, events, logs, operations, the audit log.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use updraft_auth::Role;
use updraft_testkit::postgres::{Database, fresh_database};

use crate::support::Server;

async fn published() -> Option<(Database, Server, String)> {
    let database = fresh_database().unwrap()?;
    let server = Server::on_postgres(database.url()).await;
    let params = json!({ "params": { "limit": { "type": "integer", "default": 3, "minimum": 1 } } });
    let tasks = json!([
        { "id": "load", "type": "act", "with": { "say": "{{ params.limit }}" } },
        { "id": "check", "type": "act", "with": { "act": "fail" }, "depends_on": ["load"] },
        { "id": "report", "type": "act", "depends_on": ["check"] },
    ]);
    server.publish("w", params, tasks).await;
    let token = server.token(Role::Operator).await;
    Some((database, server, token))
}

async fn trigger(server: &Server, token: &str, key: &str, body: &Value) -> (StatusCode, Value) {
    let request = server.ask(Method::POST, "/api/v1/workflows/w/runs", token).header("idempotency-key", key);
    let response = request.json(body).send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgresql_a_key_makes_one_run_however_many_ask_at_once() {
    let Some((_database, server, token)) = published().await else { return };
    let body = json!({ "params": { "limit": 7 }, "note": "by hand" });
    let all = (0..8).map(|_| trigger(&server, &token, "k1", &body));
    let answers = futures::future::join_all(all).await;
    let made: Vec<&Value> =
        answers.iter().filter(|(status, _)| status.is_success()).map(|(_, run)| &run["id"]).collect();
    assert_eq!(answers.iter().filter(|(status, _)| *status == StatusCode::CREATED).count(), 1, "{answers:?}");
    assert!(made.iter().all(|id| *id == made[0]), "{answers:?}");
    for (status, problem) in answers.iter().filter(|(status, _)| !status.is_success()) {
        assert_eq!((*status, &problem["code"]), (StatusCode::CONFLICT, &json!("idempotency_in_progress")));
    }
    let (status, again) = trigger(&server, &token, "k1", &body).await;
    assert_eq!((status, &again["id"]), (StatusCode::OK, made[0]));
    let (status, other) = trigger(&server, &token, "k1", &json!({})).await;
    assert_eq!((status, &other["code"]), (StatusCode::CONFLICT, &json!("idempotency_key_reused")));
    let (status, unfit) = trigger(&server, &token, "k2", &json!({ "params": { "limit": 0 } })).await;
    assert_eq!((status, &unfit["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("params_unfit")));
    // What failed leaves its key free.
    assert_eq!(trigger(&server, &token, "k2", &json!({})).await.0, StatusCode::CREATED);
    assert_eq!(server.json("/api/v1/runs", &token).await["items"].as_array().unwrap().len(), 2);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgresql_pages_lists_events_logs_and_retries_are_as_on_sqlite() {
    let Some((_database, server, token)) = published().await else { return };
    let mut ids = Vec::new();
    for key in ["a", "b", "c"] {
        let (status, run) = trigger(&server, &token, key, &json!({ "note": key })).await;
        assert_eq!(status, StatusCode::CREATED, "{run}");
        ids.push(run["id"].as_str().unwrap().to_owned());
    }
    for id in &ids {
        assert_eq!(server.ended(id, &token).await["state"], "failed");
    }
    let first = server.json("/api/v1/runs?limit=2&state=failed&workflow=w", &token).await;
    let next = first["next"].as_str().unwrap();
    let second = server.json(&format!("/api/v1/runs?limit=2&state=failed&workflow=w&cursor={next}"), &token).await;
    let seen: Vec<&str> = [&first, &second]
        .into_iter()
        .flat_map(|page| page["items"].as_array().unwrap())
        .map(|run| run["id"].as_str().unwrap())
        .collect();
    let newest: Vec<&str> = ids.iter().rev().map(String::as_str).collect();
    assert_eq!((seen, second["next"].is_null()), (newest, true));

    let home = server.json("/api/v1/home", &token).await;
    assert_eq!((&home["counts"]["failed"], &home["incidents"][0]["cause"]), (&json!(3), &json!("it is broken")));
    let list = server.json("/api/v1/workflows", &token).await;
    assert_eq!(
        (&list["items"][0]["attention"], &list["items"][0]["last_run"]["id"]),
        (&json!("failing"), &json!(ids[2]))
    );
    let grid = server.json("/api/v1/workflows/w/grid", &token).await;
    assert_eq!(grid["runs"][0]["cells"], "sfu");
    let id = &ids[0];
    let view = server.json(&format!("/api/v1/runs/{id}/view"), &token).await;
    assert_eq!(view["critical_path"], json!(["load", "check"]));
    for path in ["durations", "calendar?zone=Europe/Berlin", "schedule", "versions", "versions/1", "graph"] {
        server.json(&format!("/api/v1/workflows/w/{path}"), &token).await;
    }
    assert_eq!(server.json("/api/v1/status", &token).await["store"]["kind"], "postgres");
    let events = server.json(&format!("/api/v1/runs/{id}/events"), &token).await;
    let versions: Vec<u64> =
        events["items"].as_array().unwrap().iter().map(|entry| entry["version"].as_u64().unwrap()).collect();
    assert_eq!(versions, (1..=versions.len() as u64).collect::<Vec<_>>());
    let log = server.get(&format!("/api/v1/runs/{id}/tasks/load/attempts/1/log"), &token).await;
    assert!(log.text().await.unwrap().contains("saying 3"));

    let (status, again) =
        server.post(&format!("/api/v1/runs/{id}/retry"), &token, json!({ "reason": "why not" })).await;
    assert_eq!(status, StatusCode::OK, "{again}");
    assert_eq!(server.ended(id, &token).await["generation"], 1);
    let admin = server.token(Role::Admin).await;
    let entry = server.json("/api/v1/audit?action=run.retry", &admin).await["items"][0].clone();
    assert_eq!((&entry["subject"], &entry["reason"]), (&json!(id), &json!("why not")), "{entry}");
    assert_eq!(server.json("/api/v1/audit/verify", &admin).await["ok"], true);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgresql_a_stream_of_hints_hears_of_a_run() {
    let Some((_database, server, token)) = published().await else { return };
    let stream = server.ask(Method::GET, "/api/v1/events", &token).header("accept", "text/event-stream");
    let mut stream = stream.send().await.unwrap();
    let (_, run) = trigger(&server, &token, "k", &json!({})).await;
    let mut read = String::new();
    let heard = async {
        while let Some(chunk) = stream.chunk().await.unwrap() {
            read.push_str(&String::from_utf8_lossy(&chunk));
            if read.contains("\"failed\"") {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), heard).await.unwrap();
    assert!(read.starts_with("event: reset") && read.contains(run["id"].as_str().unwrap()), "{read}");
    server.end().await;
}
