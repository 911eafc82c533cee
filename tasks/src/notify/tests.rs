//! Channels against small servers on loopback; states as the run's other tasks have them.

mod mail;
mod slack;
mod templates;

use serde_json::json;
use updraft_task::testing::TestRun;
use updraft_task::{TaskRunState, Verdict};

use super::*;
use crate::fake::{Answer, Fake, answer};

fn sibling(task: &str, state: TaskRunState) -> Sibling {
    Sibling { task: task.to_owned(), state, allow_failure: false, error: None, duration: None, output: None }
}

async fn tell(run: &TestRun, params: serde_json::Value) -> Result<Output, TaskError> {
    Notify::run(serde_json::from_value(params).unwrap(), &run.context("tell", 1, None)).await
}

#[tokio::test]
async fn one_message_goes_out_per_change_of_state() {
    let dir = tempfile::tempdir().unwrap();
    let run = TestRun::new(dir.path());
    let mut told = Vec::new();
    for state in [
        TaskRunState::Succeeded,
        TaskRunState::Succeeded,
        TaskRunState::Failed,
        TaskRunState::Failed,
        TaskRunState::Succeeded,
    ] {
        run.set_siblings(vec![sibling("a", state)]);
        let output = tell(&run, json!({})).await.unwrap();
        told.push((output.state, output.sent.len()));
    }
    let told: Vec<(&str, usize)> = told.iter().map(|(state, sent)| (state.as_str(), *sent)).collect();
    assert_eq!(told, [("succeeded", 1), ("succeeded", 0), ("failed", 1), ("failed", 0), ("succeeded", 1)]);
}

#[tokio::test]
async fn a_failure_that_is_allowed_fails_neither_the_run_nor_the_message() {
    let dir = tempfile::tempdir().unwrap();
    let run = TestRun::new(dir.path());
    let excused = Sibling { allow_failure: true, ..sibling("a", TaskRunState::Failed) };
    let below = sibling("b", TaskRunState::UpstreamFailed);
    run.set_siblings(vec![excused.clone(), below.clone()]);
    assert_eq!(tell(&run, json!({})).await.unwrap().state, "succeeded");
    run.set_siblings(vec![excused, below, sibling("c", TaskRunState::Failed)]);
    assert_eq!(tell(&run, json!({})).await.unwrap().state, "failed");
}

#[tokio::test]
async fn always_means_every_time() {
    let dir = tempfile::tempdir().unwrap();
    let run = TestRun::new(dir.path());
    for _ in 0..2 {
        assert_eq!(tell(&run, json!({ "when": "always" })).await.unwrap().sent, ["log"]);
    }
}

#[tokio::test]
async fn a_message_that_did_not_go_out_is_not_taken_as_told() {
    let dir = tempfile::tempdir().unwrap();
    let run = TestRun::new(dir.path());
    run.connect("chat", json!({ "kind": "webhook", "url": "http://127.0.0.1:1/hook" }));
    let params = json!({ "channels": [{ "to": "webhook", "conn": "chat" }] });
    for _ in 0..2 {
        assert_eq!(tell(&run, params.clone()).await.unwrap_err().class(), "Network");
    }
}

fn hook(run: &TestRun, fake: &Fake) {
    let url = format!("{}/hook/s3cret", fake.url());
    run.connect("chat", json!({ "kind": "webhook", "url": url, "headers": { "x-team": "ops" } }));
}

#[tokio::test]
async fn a_webhook_gets_one_message_per_change_and_what_it_refuses_is_told_again() {
    let dir = tempfile::tempdir().unwrap();
    let run = TestRun::new(dir.path());
    let mut fake = Fake::http([answer(204, &[], "")]).await;
    hook(&run, &fake);
    let params = json!({ "channels": [{ "to": "webhook", "conn": "chat" }, { "to": "log" }], "text": "see the board" });
    run.set_siblings(vec![Sibling {
        error: Some(("Network".to_owned(), "no route".to_owned())),
        ..sibling("load", TaskRunState::Failed)
    }]);
    assert_eq!(tell(&run, params.clone()).await.unwrap().sent, ["webhook:chat", "log"]);
    assert_eq!(tell(&run, params.clone()).await.unwrap().unchanged, ["webhook:chat", "log"]);
    let asked = fake.heard().await;
    assert_eq!(fake.unheard(), 0);
    assert!(asked.starts_with("POST /hook/s3cret HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("x-team: ops\r\n") && asked.contains("idempotency-key: key-of-tell\r\n"), "{asked}");
    let body: serde_json::Value = serde_json::from_str(asked.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!((&body["state"], &body["workflow"]), (&json!("failed"), &json!("test")));
    let text = body["text"].as_str().unwrap();
    assert!(text.contains("see the board") && text.ends_with("load: failed (Network): no route"), "{text}");
}

#[tokio::test]
async fn a_webhooks_refusals_have_their_verdicts_and_leave_the_message_untold() {
    let dir = tempfile::tempdir().unwrap();
    let run = TestRun::new(dir.path());
    let retry = |after: Option<u64>| Verdict::Retry { after: after.map(std::time::Duration::from_secs) };
    for (n, (said, verdict, class)) in [
        (answer(400, &[], "no such channel"), Verdict::Fail, "Refused"),
        (answer(404, &[], "no such channel"), Verdict::Fail, "Refused"),
        (answer(302, &[("location", "/login")], "no such channel"), Verdict::Fail, "Refused"),
        (answer(429, &[("retry-after", "9")], ""), retry(Some(9)), "Unavailable"),
        (answer(500, &[], ""), retry(None), "Unavailable"),
        (answer(503, &[("retry-after", "4")], ""), retry(Some(4)), "Unavailable"),
        (Answer::Bytes(b"nonsense".to_vec()), retry(None), "Network"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut fake = Fake::http([said, answer(200, &[], "")]).await;
        hook(&run, &fake);
        let params = json!({ "channels": [{ "to": "webhook", "conn": "chat" }], "state": format!("state {n}") });
        let error = tell(&run, params.clone()).await.unwrap_err();
        assert_eq!((error.verdict(), error.class()), (&verdict, class), "{error}");
        assert!(!error.message().contains("s3cret"), "{error}");
        if class == "Refused" {
            assert!(error.message().contains("no such channel"), "{error}");
        }
        fake.heard().await;
        // The next attempt: its message goes out, and is then known.
        let again = tell(&run, params).await.unwrap();
        assert_eq!((again.sent.len(), again.unchanged.len()), (1, 0));
    }
    assert!(run.lines().iter().all(|(_, line)| !line.contains("s3cret")));
}

fn post_office(run: &TestRun, fake: &Fake) {
    let entry = json!({
        "kind": "smtp", "host": "127.0.0.1", "port": fake.port(), "tls": "none", "from": "Updraft <updraft@example.org>",
    });
    run.connect("mail", entry);
}

fn by_mail() -> serde_json::Value {
    json!({ "channels": [{ "to": "email", "conn": "mail", "recipients": ["ops@example.org", "Ann <ann@example.org>"] }] })
}

#[tokio::test]
async fn a_mail_goes_to_every_recipient_once_per_change() {
    let dir = tempfile::tempdir().unwrap();
    let run = TestRun::new(dir.path());
    let mut fake = Fake::smtp(&[]).await;
    post_office(&run, &fake);
    assert_eq!(tell(&run, by_mail()).await.unwrap().sent.len(), 1);
    assert_eq!(tell(&run, by_mail()).await.unwrap().unchanged.len(), 1);
    let session = fake.heard().await;
    for line in [
        "MAIL FROM:<updraft@example.org>",
        "RCPT TO:<ops@example.org>",
        "RCPT TO:<ann@example.org>",
        "Subject: [updraft] test succeeded",
        "Message-ID: <key-of-tell.succeeded@updraft>",
    ] {
        assert!(session.contains(line), "{line} in {session}");
    }
    assert_eq!(session.matches("\r\n.\r\n").count(), 1, "{session}");
    assert_eq!(fake.unheard(), 0);
}

#[tokio::test]
async fn what_a_mail_server_says_decides_whether_there_is_another_try() {
    let dir = tempfile::tempdir().unwrap();
    let run = TestRun::new(dir.path());
    let retry = Verdict::Retry { after: None };
    for (refusals, verdict, class, words) in [
        (&[("RCPT", "550 no such mailbox")], &Verdict::Fail, "Refused", "no such mailbox"),
        (&[("MAIL", "553 not yours")], &Verdict::Fail, "Refused", "not yours"),
        (&[("RCPT", "451 try later")], &retry, "Unavailable", "try later"),
        (&[("DATA", "421 closing")], &retry, "Unavailable", "closing"),
    ] {
        let fake = Fake::smtp(refusals).await;
        post_office(&run, &fake);
        let error = tell(&run, by_mail()).await.unwrap_err();
        assert_eq!((error.verdict(), error.class()), (verdict, class), "{error}");
        assert!(error.message().contains(words), "{error}");
    }
    let nowhere = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    run.connect(
        "mail",
        json!({ "kind": "smtp", "host": "127.0.0.1", "port": nowhere, "tls": "none", "from": "a@b.org" }),
    );
    assert_eq!(tell(&run, by_mail()).await.unwrap_err().class(), "Network");
    for (from, recipients) in [("nobody", json!(["a@b.org"])), ("a@b.org", json!(["nobody"])), ("a@b.org", json!([]))] {
        run.connect("mail", json!({ "kind": "smtp", "host": "127.0.0.1", "tls": "none", "from": from }));
        let params = json!({ "channels": [{ "to": "email", "conn": "mail", "recipients": recipients }] });
        assert_eq!(tell(&run, params).await.unwrap_err().class(), "BadParameters");
    }
}
