//! Slack's webhook, played by an HTTP server.

use super::*;

fn slack(run: &TestRun, fake: &Fake) {
    run.connect("ops", json!({ "kind": "slack", "url": format!("{}/services/T0/B0/s3cret", fake.url()) }));
}

fn failed(task: &str, message: &str) -> Sibling {
    Sibling { error: Some(("Network".to_owned(), message.to_owned())), ..sibling(task, TaskRunState::Failed) }
}

fn body(asked: &str) -> serde_json::Value {
    serde_json::from_str(asked.split("\r\n\r\n").nth(1).unwrap()).unwrap()
}

fn to_slack() -> serde_json::Value {
    json!({ "channels": [{ "to": "slack", "conn": "ops" }] })
}

/// All strings of a block kit message with their limits, as Slack documents them.
fn within_limits(body: &serde_json::Value) {
    let blocks = body["blocks"].as_array().unwrap();
    assert!(blocks.len() <= 50, "{}", blocks.len());
    let units = |text: &serde_json::Value| text["text"].as_str().unwrap().encode_utf16().count();
    for block in blocks {
        match block["type"].as_str().unwrap() {
            "header" => assert!((1..=150).contains(&units(&block["text"])), "{block}"),
            "section" if block["fields"].is_array() => {
                let fields = block["fields"].as_array().unwrap();
                assert!(
                    fields.len() <= 10 && fields.iter().all(|field| (1..=2_000).contains(&units(field))),
                    "{block}"
                );
            }
            "section" => assert!((1..=3_000).contains(&units(&block["text"])), "{block}"),
            other => panic!("{other}"),
        }
    }
    assert!(body.to_string().len() < 100_000);
}

#[tokio::test]
async fn slack_gets_state_workflow_run_and_failed_tasks_escaped() {
    let dir = tempfile::tempdir().unwrap();
    let run = TestRun::new(dir.path());
    let mut fake = Fake::http([answer(200, &[], "ok")]).await;
    slack(&run, &fake);
    run.set_siblings(vec![
        failed("load", "no <route> & no *way*\nsecond line"),
        Sibling { error: Some(("Skipped".into(), "not wanted".into())), ..sibling("b", TaskRunState::Skipped) },
    ]);
    let output = tell(&run, to_slack()).await.unwrap();
    assert_eq!(output.sent, ["slack:ops"]);
    let asked = fake.heard().await;
    assert!(asked.starts_with("POST /services/T0/B0/s3cret HTTP/1.1\r\n"), "{asked}");
    let body = body(&asked);
    within_limits(&body);
    let text = body.to_string();
    for part in [
        "*Workflow*\\ntest",
        "*State*\\nfailed",
        "*Run*\\n00000000-0000-0000-0000-000000000001",
        "*load* failed (Network): no &lt;route&gt; &amp; no *way*",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("second line") && !text.contains("not wanted"), "{text}");
    assert_eq!(body["text"], "test failed");
    assert!(run.lines().iter().all(|(_, line)| !line.contains("s3cret")));

    run.set_siblings(vec![sibling("load", TaskRunState::Succeeded)]);
    tell(&run, to_slack()).await.unwrap();
    let text = fake.heard().await;
    assert!(text.contains("succeeded (was failed)") && text.contains("recovers from failed"), "{text}");
    assert!(text.contains("load (Network)"), "{text}");
}

#[tokio::test]
async fn a_large_message_is_cut_to_slacks_limits_with_a_note() {
    let dir = tempfile::tempdir().unwrap();
    let run = TestRun::new(dir.path());
    let mut fake = Fake::http([answer(200, &[], "ok")]).await;
    slack(&run, &fake);
    run.set_siblings((0..200).map(|n| failed(&format!("task_{n}"), &"<&>😀".repeat(2_000))).collect());
    let mut params = to_slack();
    params["text"] = json!("&".repeat(9_000));
    params["subject"] = json!("ü".repeat(500));
    tell(&run, params).await.unwrap();
    let sent = body(&fake.heard().await);
    within_limits(&sent);
    let text = sent.to_string();
    assert!(text.contains("… (cut)") && text.contains("and 160 more failed tasks"), "{text}");

    std::fs::write(dir.path().join("long.txt"), "{% for task in tasks %}{{ task.error }}{% endfor %}").unwrap();
    run.set_siblings(vec![failed("a", &"<".repeat(5_000))]);
    let mut params = to_slack();
    params["template_file"] = json!("long.txt");
    params["when"] = json!("always");
    tell(&run, params).await.unwrap();
    within_limits(&body(&fake.heard().await));
}

#[tokio::test]
async fn slacks_answers_have_their_classes_and_one_dead_channel_keeps_no_other_from_its_message() {
    let dir = tempfile::tempdir().unwrap();
    let run = TestRun::new(dir.path());
    let retry = |after: Option<u64>| Verdict::Retry { after: after.map(std::time::Duration::from_secs) };
    for (n, (said, class, verdict)) in [
        (answer(400, &[], "invalid_payload"), "InvalidPayload", Verdict::Fail),
        (answer(404, &[], "channel_not_found"), "ChannelNotFound", Verdict::Fail),
        (answer(403, &[], "invalid_token"), "Refused", Verdict::Fail),
        (answer(429, &[("retry-after", "30")], ""), "RateLimited", retry(Some(30))),
        (answer(503, &[], ""), "Unavailable", retry(None)),
    ]
    .into_iter()
    .enumerate()
    {
        let fake = Fake::http([said, answer(200, &[], "ok")]).await;
        slack(&run, &fake);
        let params =
            json!({ "channels": [{ "to": "slack", "conn": "ops" }, { "to": "log" }], "state": format!("s{n}") });
        let error = tell(&run, params.clone()).await.unwrap_err();
        assert_eq!((error.class(), error.verdict()), (class, &verdict), "{error}");
        assert!(!error.message().contains("s3cret"), "{error}");
        let again = tell(&run, params).await.unwrap();
        assert_eq!((again.sent, again.unchanged), (vec!["slack:ops".to_owned()], vec!["log".to_owned()]));
    }
    assert!(run.lines().iter().all(|(_, line)| !line.contains("s3cret")));
}

#[tokio::test]
async fn of_two_failed_channels_the_one_that_may_recover_decides() {
    let dir = tempfile::tempdir().unwrap();
    let run = TestRun::new(dir.path());
    let fake = Fake::http([answer(404, &[], "channel_not_found")]).await;
    slack(&run, &fake);
    run.connect("chat", json!({ "kind": "webhook", "url": "http://127.0.0.1:1/hook" }));
    let channels = json!([{ "to": "slack", "conn": "ops" }, { "to": "webhook", "conn": "chat" }]);
    let error = tell(&run, json!({ "channels": channels })).await.unwrap_err();
    assert_eq!((error.class(), error.verdict()), ("Network", &Verdict::Retry { after: None }));
    assert!(error.message().contains("slack:ops (ChannelNotFound)"), "{error}");
}

#[tokio::test]
async fn a_crash_between_sending_and_remembering_repeats_the_message_and_does_not_lose_it() {
    let dir = tempfile::tempdir().unwrap();
    let run = TestRun::new(dir.path());
    let mut fake = Fake::http([Answer::Silence, answer(200, &[], "ok")]).await;
    slack(&run, &fake);
    let first = tell(&run, to_slack());
    tokio::select! {
        ended = first => panic!("it ended: {:?}", ended.err()),
        asked = fake.heard() => assert!(asked.contains("idempotency-key: key-of-tell\r\n")),
    }
    assert_eq!(tell(&run, to_slack()).await.unwrap().sent, ["slack:ops"]);
    assert!(fake.heard().await.contains("idempotency-key: key-of-tell\r\n"), "the receiver can tell");
    assert_eq!(tell(&run, to_slack()).await.unwrap().unchanged, ["slack:ops"]);
}
