//! Against a server on loopback that gives prepared answers.

use serde_json::json;
use updraft_task::lake::sha256_hex;
use updraft_task::testing::TestRun;
use updraft_task::{Level, Timestamp, Verdict};

use super::*;
use crate::fake::{Answer, Fake, answer};

const JSON: (&str, &str) = ("content-type", "application/json");
const TEXT: (&str, &str) = ("content-type", "text/plain; charset=utf-8");

/// Asks; `with` is what a workflow file says beside the address.
async fn call(run: &TestRun, fake: &Fake, with: Value) -> Result<Output, TaskError> {
    let mut params = json!({ "url": format!("{}/v1/things", fake.url()) });
    params.as_object_mut().unwrap().extend(with.as_object().unwrap().clone());
    HttpRequest::run(serde_json::from_value(params).unwrap(), &run.context("ask", 1, None)).await
}

async fn call_connected(run: &TestRun, with: Value) -> Result<Output, TaskError> {
    HttpRequest::run(serde_json::from_value(with).unwrap(), &run.context("ask", 1, Some("service"))).await
}

fn folder() -> (tempfile::TempDir, TestRun) {
    let dir = tempfile::tempdir().unwrap();
    let run = TestRun::new(dir.path());
    (dir, run)
}

#[tokio::test]
async fn an_answer_is_kept_by_what_it_is() {
    let (_dir, run) = folder();
    for (said, with, status, json, text) in [
        (answer(200, &[JSON], r#"{"n":1}"#), json!({}), 200, json!({ "n": 1 }), None),
        (answer(200, &[TEXT], "fine"), json!({}), 200, json!(null), Some("fine")),
        (answer(200, &[TEXT], "[1]"), json!({}), 200, json!([1]), None),
        (answer(204, &[], ""), json!({}), 204, json!(null), None),
        (answer(200, &[JSON], ""), json!({ "method": "HEAD" }), 200, json!(null), None),
        (answer(404, &[TEXT], "none"), json!({ "expect": [200, 404] }), 404, json!(null), Some("none")),
        (answer(503, &[TEXT], "late"), json!({ "expect": [503] }), 503, json!(null), Some("late")),
        (answer(302, &[("location", "/else")], ""), json!({ "expect": [302] }), 302, json!(null), None),
    ] {
        let fake = Fake::http([said]).await;
        let output = call(&run, &fake, with.clone()).await.unwrap();
        assert_eq!(output.status, status, "{with}");
        assert_eq!(output.json.unwrap_or_default(), json, "{with}");
        assert_eq!(output.text.as_deref(), text, "{with}");
        assert!(output.dataset.is_none());
    }
}

/// A body that never stalls and never ends.
fn slow() -> Answer {
    Answer::Drip(b"HTTP/1.1 200 Fake\r\ncontent-length: 900000\r\n\r\n".to_vec())
}

#[tokio::test]
async fn text_of_another_charset_is_read_if_it_says_so_and_warned_about_if_not() {
    let (_dir, run) = folder();
    for (charset, text, warned) in [
        ("; charset=ISO-8859-1", "Zürich", false),
        ("; charset=utf-8", "Z\u{fffd}rich", true),
        ("", "Z\u{fffd}rich", true),
    ] {
        let head = format!("HTTP/1.1 200 Fake\r\ncontent-type: text/plain{charset}\r\ncontent-length: 6\r\n\r\n");
        let fake = Fake::http([Answer::Bytes([head.as_bytes(), b"Z\xfcrich"].concat())]).await;
        let before = run.lines().len();
        assert_eq!(call(&run, &fake, json!({})).await.unwrap().text.as_deref(), Some(text), "{charset}");
        let lines = run.lines().split_off(before);
        assert_eq!(lines.iter().any(|(level, _)| *level == Level::Warn), warned, "{charset}");
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_trusts_is_not_asked_again() {
    use updraft_testkit::process::{Program, Stream};

    let (dir, run) = folder();
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(dir.path())
        .output();
    if made.is_err() {
        updraft_testkit::skip!("no `openssl` here (Debian: `apt-get install openssl`)");
    }
    let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let server = Program::of_server("openssl")
        .args(["s_server", "-www", "-cert", "cert.pem", "-key", "key.pem", "-accept", &format!("127.0.0.1:{port}")])
        .folder(dir.path())
        .start()
        .unwrap();
    server.wait_for_line(Stream::Out, |line| line.starts_with("ACCEPT")).unwrap();
    let ask = async |port: u16| {
        let params = json!({ "url": format!("https://127.0.0.1:{port}/"), "timeout_s": 10 });
        HttpRequest::run(serde_json::from_value(params).unwrap(), &run.context("ask", 1, None)).await.unwrap_err()
    };
    let error = ask(port).await;
    assert_eq!((error.class(), error.verdict()), ("Certificate", &Verdict::Fail), "{error}");
    // What does not speak TLS may be something that is just being started.
    let plain = Fake::http([Answer::Bytes(b"HTTP/1.1 400 Fake\r\n\r\n".to_vec())]).await;
    let error = ask(plain.port()).await;
    assert!(matches!(error.verdict(), Verdict::Retry { .. }), "{}: {error}", error.class());
}

#[tokio::test]
async fn a_refusal_has_its_verdict_and_says_what_the_server_said() {
    let (_dir, run) = folder();
    run.set_now(Timestamp::parse("2025-12-02T09:34:39Z").unwrap());
    let after = |seconds| Verdict::Retry { after: Some(Duration::from_secs(seconds)) };
    let date = ("retry-after", "Tue, 02 Dec 2025 09:35:39 GMT");
    for (said, with, verdict, class, words) in [
        (answer(429, &[("retry-after", "7")], "slow down"), json!({}), after(7), "RateLimited", "429: slow down"),
        (answer(429, &[date], ""), json!({}), after(60), "RateLimited", "429"),
        (answer(429, &[], ""), json!({}), Verdict::Retry { after: None }, "RateLimited", "429"),
        (answer(500, &[], "oh no"), json!({}), Verdict::Retry { after: None }, "Upstream5xx", "500: oh no"),
        (answer(503, &[("retry-after", "3")], ""), json!({}), after(3), "Upstream5xx", "503"),
        (answer(404, &[], "no such thing"), json!({}), Verdict::Fail, "Status", "404: no such thing"),
        (answer(200, &[], ""), json!({ "expect": [204] }), Verdict::Fail, "Status", "200"),
        (answer(200, &[JSON], "{\"n\":"), json!({}), Verdict::Retry { after: None }, "BrokenBody", "says it is JSON"),
        (answer(408, &[], "too slow"), json!({}), Verdict::Retry { after: None }, "Timeout", "408: too slow"),
        (Answer::Silence, json!({ "timeout_s": 1 }), Verdict::Retry { after: None }, "Timeout", "timed out"),
        (slow(), json!({ "timeout_s": 1 }), Verdict::Retry { after: None }, "Timeout", "timed out"),
        (slow(), json!({ "timeout_s": 1, "save_to": "a" }), Verdict::Retry { after: None }, "Timeout", "timed out"),
        (answer(200, &[], "x"), json!({ "save_to": "a/../b" }), Verdict::Fail, "BadKey", "a/../b"),
        (
            Answer::Bytes(b"HTTP/1.1 200 Fake\r\ncontent-length: 9\r\n\r\nhalf".to_vec()),
            json!({}),
            Verdict::Retry { after: None },
            "Network",
            "the body of GET",
        ),
        (answer(200, &[], ""), json!({ "timeout_s": 0 }), Verdict::Fail, "BadParameters", "at least one second"),
        (answer(200, &[], ""), json!({ "json": 1, "body": "1" }), Verdict::Fail, "BadParameters", "one body a request"),
        (answer(200, &[], ""), json!({ "headers": { "a b": "c" } }), Verdict::Fail, "BadParameters", "`a b`"),
        (answer(200, &[], ""), json!({ "url": "nowhere" }), Verdict::Fail, "BadParameters", "address"),
        (answer(200, &[], ""), json!({ "path": "x" }), Verdict::Fail, "BadParameters", "`conn:` with `path`"),
    ] {
        let fake = Fake::http([said]).await;
        let error = call(&run, &fake, with.clone()).await.unwrap_err();
        assert_eq!((error.verdict(), error.class()), (&verdict, class), "{with}: {error}");
        assert!(error.message().contains(words), "{with}: {error}");
    }
}

#[tokio::test]
async fn a_large_body_needs_a_place_in_the_lake() {
    let (_dir, run) = folder();
    let body = "x".repeat(INLINE_BYTES + 1);
    let fake = Fake::http([answer(200, &[TEXT], &body)]).await;
    let error = call(&run, &fake, json!({})).await.unwrap_err();
    assert_eq!((error.class(), error.verdict()), ("TooLarge", &Verdict::Fail));
    assert!(error.message().contains("32768 bytes") && error.message().contains("`save_to`"), "{error}");
    let output = call(&run, &fake, json!({ "save_to": "raw/things.txt" })).await.unwrap();
    let dataset = output.dataset.unwrap();
    assert_eq!((dataset.uri.as_str(), dataset.format, dataset.rows), ("raw/things.txt", Format::Bytes, 1));
    assert_eq!((dataset.bytes, output.bytes, output.text), (body.len() as u64, body.len() as u64, None));
    let kept = run.context("look", 1, None).lake().unwrap().find("raw/things.txt").await.unwrap().unwrap();
    assert_eq!((sha256_hex(&kept), kept.len()), (dataset.sha256, body.len()));

    // Within the limit as bytes, beyond it once its control characters are escaped.
    let fake = Fake::http([answer(200, &[TEXT], &"\u{1}".repeat(10_000))]).await;
    let error = call(&run, &fake, json!({})).await.unwrap_err();
    assert!(error.class() == "TooLarge" && error.message().contains("`save_to`"), "{error}");
}

#[tokio::test]
async fn a_connection_gives_address_headers_and_authentication() {
    let (_dir, run) = folder();
    for (fields, header) in [
        (json!({ "token": "t0ken" }), "authorization: Bearer t0ken\r\n"),
        (json!({ "username": "ann", "password": "pw" }), "authorization: Basic YW5uOnB3\r\n"),
        (json!({ "headers": { "x-api-key": "k3y" } }), "x-api-key: k3y\r\n"),
    ] {
        let mut fake = Fake::http([answer(200, &[], "")]).await;
        let mut entry = json!({ "kind": "http", "base_url": format!("{}/api/", fake.url()) });
        entry.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        run.connect("service", entry);
        call_connected(&run, json!({ "path": "/v1/things", "query": { "of": "a b" } })).await.unwrap();
        let asked = fake.heard().await;
        assert!(asked.starts_with("GET /api/v1/things?of=a+b HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains(header), "{asked}");
    }
}

#[tokio::test]
async fn what_changes_something_has_a_key_that_stays_the_same_over_attempts() {
    let (_dir, run) = folder();
    for (method, keyed) in
        [("GET", false), ("HEAD", false), ("POST", true), ("PUT", true), ("PATCH", true), ("DELETE", true)]
    {
        let mut fake = Fake::http([answer(200, &[], "")]).await;
        call(&run, &fake, json!({ "method": method })).await.unwrap();
        let asked = fake.heard().await;
        assert!(asked.starts_with(method), "{asked}");
        assert_eq!(asked.contains("idempotency-key: key-of-ask\r\n"), keyed, "{asked}");
    }
    let mut fake = Fake::http([answer(200, &[], "")]).await;
    call(&run, &fake, json!({ "method": "POST", "json": { "n": 1 } })).await.unwrap();
    let asked = fake.heard().await;
    assert!(asked.contains("content-type: application/json") && asked.ends_with("\r\n\r\n{\"n\":1}"), "{asked}");
}

#[tokio::test]
async fn secrets_and_queries_are_in_no_message_and_no_line() {
    let (_dir, run) = folder();
    let secrets = ["t0ken", "k3y", "qu3ry", "us3r", "fr4gment"];
    let check = |text: &str| assert!(!secrets.iter().any(|secret| text.contains(secret)), "{text}");
    let check_end = |end: Result<Output, TaskError>| match end {
        Ok(output) => check(&format!("{output:?}")),
        Err(error) => check(error.message()),
    };
    let nowhere = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    for said in [
        Some(answer(200, &[], "")),
        Some(answer(500, &[], "")),
        Some(answer(403, &[], "")),
        Some(answer(200, &[JSON], "{")),
        Some(Answer::Bytes(b"HTTP/1.1 nonsense".to_vec())),
        Some(Answer::Silence),
        None,
    ] {
        let fake = match said {
            Some(said) => Some(Fake::http([said]).await),
            None => None,
        };
        let port = fake.as_ref().map_or(nowhere, Fake::port);
        run.connect(
            "service",
            json!({
                "kind": "http", "base_url": format!("http://127.0.0.1:{port}"), "token": "t0ken",
                "headers": { "x-api-key": "k3y" },
            }),
        );
        check_end(call_connected(&run, json!({ "path": "a", "query": { "key": "qu3ry" }, "timeout_s": 1 })).await);
        let url = format!("http://us3r:t0ken@127.0.0.1:{port}/a?key=qu3ry#fr4gment");
        let params = serde_json::from_value(json!({ "url": url, "timeout_s": 1 })).unwrap();
        check_end(HttpRequest::run(params, &run.context("ask", 1, None)).await);
    }
    let lines: Vec<(Level, String)> = run.lines();
    assert!(!lines.is_empty());
    lines.iter().for_each(|(_, line)| check(line));
}

#[tokio::test]
async fn redirects_are_followed_but_a_connections_secrets_stay_on_its_host() {
    let (_dir, run) = folder();
    let mut fake = Fake::http([answer(302, &[("location", "/else")], ""), answer(200, &[], "")]).await;
    assert_eq!(call(&run, &fake, json!({})).await.unwrap().status, 200);
    fake.heard().await;
    assert!(fake.heard().await.starts_with("GET /else"));

    for host in ["localhost", "127.0.0.1"] {
        let other = Fake::http([answer(200, &[], "")]).await;
        let there = format!("http://{host}:{}/", other.port());
        let fake = Fake::http([answer(302, &[("location", &there)], "")]).await;
        run.connect("service", json!({ "kind": "http", "base_url": fake.url(), "headers": { "x-api-key": "k3y" } }));
        let error = call_connected(&run, json!({})).await.unwrap_err();
        assert!(error.class() == "Status" && error.message().contains("302"), "{error}");
        assert_eq!(other.unheard(), 0);
    }
    let mut fake = Fake::http([answer(302, &[("location", "/else")], ""), answer(200, &[], "")]).await;
    run.connect("service", json!({ "kind": "http", "base_url": fake.url(), "headers": { "x-api-key": "k3y" } }));
    assert_eq!(call_connected(&run, json!({})).await.unwrap().status, 200);
    fake.heard().await;
    assert!(fake.heard().await.contains("x-api-key: k3y"));
    for (from, to, same) in [
        ("http://a/x", "https://a/y", true),
        ("https://a/x", "http://a/y", false),
        ("https://a/x", "https://a:443/y", true),
        ("https://a/x", "https://a:444/y", false),
        ("http://a:8080/x", "https://a/y", false),
        ("https://a/x", "https://b/x", false),
    ] {
        assert_eq!(is_same_place(&from.parse().unwrap(), &to.parse().unwrap()), same, "{from} {to}");
    }
}

#[tokio::test]
async fn a_cancelled_attempt_waits_for_no_answer() {
    let (_dir, run) = folder();
    let mut fake = Fake::http([Answer::Silence]).await;
    let params = json!({ "url": fake.url() });
    let context = run.context("ask", 1, None);
    let attempt = HttpRequest::run(serde_json::from_value(params).unwrap(), &context);
    tokio::pin!(attempt);
    tokio::select! {
        ended = &mut attempt => panic!("it ended by itself: {:?}", ended.err()),
        _ = fake.heard() => run.cancel(),
    }
    assert_eq!(attempt.await.unwrap_err().class(), "Cancelled");
}
