//! Events that go on where they broke off, hints, logs.

use std::time::Duration;

use futures::StreamExt as _;
use reqwest::{Method, Response, StatusCode};
use serde_json::json;
use updraft_auth::Role;

use crate::support::Server;

/// Reads a stream until it holds that text; answers with what was read.
async fn until(response: Response, text: &str) -> String {
    let mut read = String::new();
    let mut bytes = response.bytes_stream();
    let wanted = async {
        while let Some(Ok(chunk)) = bytes.next().await {
            read.push_str(&String::from_utf8_lossy(&chunk));
            if read.contains(text) {
                return true;
            }
        }
        false
    };
    let found = tokio::time::timeout(Duration::from_secs(10), wanted).await;
    assert!(matches!(found, Ok(true)), "no `{text}` in {read}");
    read
}

fn ids(read: &str) -> Vec<u64> {
    read.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect()
}

async fn stream(server: &Server, path: &str, token: &str, last: Option<u64>) -> Response {
    let mut request = server.ask(Method::GET, path, token).header("accept", "text/event-stream");
    if let Some(last) = last {
        request = request.header("last-event-id", last.to_string());
    }
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert!(!response.headers().contains_key("content-encoding"));
    response
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runs_events_are_replayed_followed_and_resumed_without_a_gap() {
    let server = Server::start().await;
    server
        .publish(
            "w",
            json!({}),
            json!([{ "id": "a", "type": "act" }, { "id": "b", "type": "act", "depends_on": ["a"] }]),
        )
        .await;
    let token = server.token(Role::Operator).await;
    let (_, run) = server.post("/api/v1/workflows/w/runs", &token, json!({})).await;
    let path = format!("/api/v1/runs/{}/events", run["id"].as_str().unwrap());
    let read = until(stream(&server, &path, &token, None).await, "run_finished").await;
    let all = ids(&read);
    assert_eq!(all, (1..=all.len() as u64).collect::<Vec<_>>(), "{read}");
    let rest = until(stream(&server, &path, &token, Some(1)).await, "run_finished").await;
    assert_eq!(ids(&rest), all[1..]);
    let page = server.json(&format!("{path}?limit=1"), &token).await;
    assert_eq!((page["items"][0]["version"].as_u64(), page["next"].is_string()), (Some(1), true));
    let bad = server.ask(Method::GET, &path, &token).header("accept", "text/event-stream").header("last-event-id", "x");
    assert_eq!(bad.send().await.unwrap().status(), StatusCode::BAD_REQUEST);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_streams_of_a_run_each_get_every_commit_once_wherever_they_begin() {
    const LONG: u64 = 30;
    let server = Server::start().await;
    let chain: Vec<_> = (0..LONG)
        .map(|n| {
            let upstream: Vec<String> = (n > 0).then(|| format!("t{}", n - 1)).into_iter().collect();
            json!({ "id": format!("t{n}"), "type": "act", "depends_on": upstream })
        })
        .collect();
    server.publish("w", json!({}), json!(chain)).await;
    let token = server.token(Role::Operator).await;
    let (_, run) = server.post("/api/v1/workflows/w/runs", &token, json!({})).await;
    let path = format!("/api/v1/runs/{}/events", run["id"].as_str().unwrap());
    // Some begin at the beginning, some in the middle, some at a version that is not there yet.
    let streams = (0..24_u64).map(|n| {
        let (server, path, token) = (&server, &path, &token);
        async move {
            tokio::time::sleep(Duration::from_millis(n * 5)).await;
            let after = n % 12;
            let read = until(stream(server, path, token, (after > 0).then_some(after)).await, "run_finished").await;
            (after, ids(&read))
        }
    });
    let all = futures::future::join_all(streams).await;
    let last = all.iter().filter_map(|(_, ids)| ids.last()).max().copied().unwrap();
    assert!(last > LONG, "{last} commits");
    for (after, ids) in all {
        assert_eq!(ids, (after + 1..=last).collect::<Vec<_>>(), "behind {after}");
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_begin_with_reset_name_the_run_and_end_with_the_server() {
    let server = Server::start().await;
    server.publish("w", json!({}), json!([{ "id": "a", "type": "act" }])).await;
    let token = server.token(Role::Operator).await;
    let hints = stream(&server, "/api/v1/events", &token, None).await;
    let (_, run) = server.post("/api/v1/workflows/w/runs", &token, json!({})).await;
    let read = until(hints, "\"succeeded\"").await;
    // The first word says who is asking, so that a page need not ask for that.
    assert!(read.starts_with("event: reset\ndata: {\"name\":") && read.contains("\"role\":\"operator\""), "{read}");
    assert!(read.contains(run["id"].as_str().unwrap()) && read.contains("\"workflow\":\"w\""), "{read}");
    let open = stream(&server, "/api/v1/events", &token, None).await;
    server.end().await;
    drop(open);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_text_lines_or_a_stream() {
    let server = Server::start().await;
    server
        .publish("w", json!({}), json!([{ "id": "a", "type": "act", "with": { "say": "hello", "act": "child" } }]))
        .await;
    let token = server.token(Role::Operator).await;
    let (_, run) = server.post("/api/v1/workflows/w/runs", &token, json!({})).await;
    let id = run["id"].as_str().unwrap();
    server.ended(id, &token).await;
    let path = format!("/api/v1/runs/{id}/tasks/a/attempts/1/log");
    let followed = until(stream(&server, &path, &token, None).await, "event: end").await;
    assert!(followed.contains("saying \\\"hello\\\""), "{followed}");
    let text = server.get(&path, &token).await;
    assert_eq!(text.headers()["x-log-complete"], "true");
    assert!(text.headers()["content-type"].to_str().unwrap().starts_with("text/plain"));
    assert!(text.text().await.unwrap().contains("saying \"hello\""));
    let lines = server.ask(Method::GET, &path, &token).header("accept", "application/x-ndjson").send().await.unwrap();
    let lines = lines.text().await.unwrap();
    let lines: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seen: Vec<_> =
        lines.iter().map(|line| json!([line["line"], line["level"], line["stream"], line["text"]])).collect();
    assert_eq!(
        json!(seen),
        json!([
            [1, "info", "task", "saying \"hello\""],
            [2, "info", "stdout", "on stdout"],
            [3, "warn", "stderr", "on stderr"],
        ])
    );
    // The stream goes on behind the byte that was last read.
    let second = lines[1]["offset"].as_u64().unwrap();
    let rest = until(stream(&server, &path, &token, Some(second)).await, "event: end").await;
    assert_eq!((rest.contains("saying"), rest.contains("on stdout"), rest.contains("on stderr")), (false, true, true));
    let missing = server.get(&path.replace("/1/log", "/2/log"), &token).await;
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_looks_through_as_many_bytes_as_it_is_told() {
    let server = Server::start().await;
    let say = "x".repeat(400);
    let task = |id: &str| json!({ "id": id, "type": "act", "with": { "say": say, "lines": 900 } });
    server.publish("w", json!({}), json!([task("a")])).await;
    let token = server.token(Role::Operator).await;
    let (_, run) = server.post("/api/v1/workflows/w/runs", &token, json!({})).await;
    let id = run["id"].as_str().unwrap();
    server.ended(id, &token).await;
    let path = format!("/api/v1/runs/{id}/tasks/a/attempts/1/log");
    // A log may come a little later than the end of its run.
    until(stream(&server, &path, &token, None).await, "event: end").await;
    // All of it: every line, and nothing to go on from.
    let all = server.get(&format!("{path}?search=saying"), &token).await;
    assert!(!all.headers().contains_key("x-log-next"));
    let bytes: u64 = all.headers()["x-log-bytes"].to_str().unwrap().parse().unwrap();
    let all = all.text().await.unwrap();
    assert_eq!(all.lines().count(), 900);
    // In parts: the same lines, each once.
    let (mut found, mut offset, mut parts) = (String::new(), 0_u64, 0);
    loop {
        let part = server.get(&format!("{path}?level=info&limit=4096&offset={offset}"), &token).await;
        let next = part.headers().get("x-log-next").map(|next| next.to_str().unwrap().parse::<u64>().unwrap());
        found.push_str(&part.text().await.unwrap());
        parts += 1;
        match next {
            Some(next) => {
                assert!(next > offset && next <= bytes, "{offset} → {next} of {bytes}");
                offset = next;
            }
            None => break,
        }
    }
    assert_eq!((found == all, parts > 1), (true, true), "{parts} parts");
    for bad in ["tail=0", "tail=10001", "around=0", "limit=0"] {
        assert_eq!(server.get(&format!("{path}?{bad}"), &token).await.status(), StatusCode::BAD_REQUEST, "{bad}");
    }
    server.end().await;
}
