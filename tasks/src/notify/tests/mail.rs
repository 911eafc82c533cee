//! Mails to a real server (aiosmtpd): with and without login, and what it says.

use updraft_testkit::services::Own;
use updraft_testkit::services::smtp::{self, Mail, Sink};

use super::*;

fn post_office(run: &TestRun, sink: &Own<Sink>, more: &serde_json::Value) {
    let mut entry = json!({
        "kind": "smtp", "host": "127.0.0.1", "port": sink.address().port, "tls": "none", "from": "Updraft <updraft@example.org>",
    });
    entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    run.connect("mail", entry);
}

fn to(recipients: &[&str]) -> serde_json::Value {
    json!({ "channels": [{ "to": "email", "conn": "mail", "recipients": recipients }], "when": "always" })
}

/// Value of a header, unfolded.
fn header(mail: &Mail, name: &str) -> String {
    let head = mail.data.split("\r\n\r\n").next().unwrap().replace("\r\n ", " ");
    let line = head.lines().find(|line| line.starts_with(&format!("{name}: ")));
    line.map(|line| line[name.len() + 2..].to_owned()).unwrap_or_default()
}

fn header_names(mail: &Mail) -> Vec<String> {
    let head = mail.data.split("\r\n\r\n").next().unwrap();
    head.lines().filter(|line| !line.starts_with(' ')).map(|line| line.split(':').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_mail_arrives_as_utf8_text_and_a_dot_alone_does_not_end_it() {
    let Some(sink) = smtp::own_server().unwrap() else { return };
    let dir = tempfile::tempdir().unwrap();
    let run = TestRun::new(dir.path());
    post_office(&run, &sink, &json!({}));
    let mut params = to(&["ops@example.org", "Ann <ann@example.org>"]);
    params["text"] = json!("above\n.\n..\nbelow");
    tell(&run, params).await.unwrap();
    let mails = sink.mails().unwrap();
    let [mail] = &mails[..] else { panic!("{mails:?}") };
    assert_eq!(
        (&*mail.from, &mail.to[..]),
        ("updraft@example.org", &["ops@example.org".into(), "ann@example.org".into()][..])
    );
    assert_eq!(header(mail, "Subject"), "[updraft] test succeeded");
    assert_eq!(header(mail, "Content-Type"), "text/plain; charset=utf-8");
    assert_eq!(header(mail, "Message-ID"), "<key-of-tell.succeeded@updraft>");
    assert_eq!(header(mail, "Auto-Submitted"), "auto-generated");
    assert!(mail.data.contains("test succeeded =C2=B7 logical date"), "{}", mail.data);
    assert!(mail.data.trim_end().ends_with("above\r\n.\r\n..\r\nbelow"), "{}", mail.data);
}

#[tokio::test]
async fn a_login_goes_over_tls_with_a_certificate_that_is_trusted_by_name() {
    let Some(sink) = smtp::own_server_with_login().unwrap() else { return };
    let dir = tempfile::tempdir().unwrap();
    let run = TestRun::new(dir.path());
    std::fs::copy(sink.certificate(), dir.path().join("ca.pem")).unwrap();
    let (user, password) = sink.address().login.clone().unwrap();
    let good = json!({ "tls": "starttls", "ca_file": "ca.pem", "username": user, "password": password });
    let but = |name: &str, value: serde_json::Value| {
        let mut entry = good.clone();
        entry[name] = value;
        entry
    };
    for (entry, class, part) in [
        (but("ca_file", json!(null)), "Certificate", "certificate"),
        (but("host", json!("localhost")), "Certificate", "certificate"),
        (but("ca_file", json!("none.pem")), "BadConnection", "none.pem"),
        (but("password", json!("wr0ng-secret")), "Refused", "535"),
        (but("username", json!(null)), "Refused", "530"),
        (but("tls", json!("none")), "BadConnection", "authentication"),
        (but("tls", json!("implicit")), "Network", ""),
    ] {
        post_office(&run, &sink, &entry);
        let error = tell(&run, to(&["ops@example.org"])).await.unwrap_err();
        assert!(error.class() == class && error.message().contains(part), "{entry}: {}: {error}", error.class());
        for secret in [&password[..], "wr0ng-secret"] {
            assert!(!error.message().contains(secret) && run.lines().iter().all(|(_, line)| !line.contains(secret)));
        }
    }
    assert!(sink.mails().unwrap().is_empty());
    post_office(&run, &sink, &good);
    tell(&run, to(&["ops@example.org"])).await.unwrap();
    let mail = sink.mails().unwrap().pop().unwrap();
    assert!(mail.tls && mail.user.as_deref() == Some(&user), "{mail:?}");
}

#[tokio::test]
async fn greylisting_and_an_absent_server_are_worth_another_try_and_a_refusal_is_not() {
    let Some(mut sink) = smtp::own_server().unwrap() else { return };
    let dir = tempfile::tempdir().unwrap();
    let run = TestRun::new(dir.path());
    post_office(&run, &sink, &json!({}));
    let retry = Verdict::Retry { after: None };
    let error = tell(&run, to(&["greylisted@example.org"])).await.unwrap_err();
    assert_eq!((error.class(), error.verdict()), ("Unavailable", &retry), "{error}");
    assert!(error.message().contains("451") && error.message().contains("try again later"), "{error}");
    tell(&run, to(&["greylisted@example.org"])).await.unwrap();
    let error = tell(&run, to(&["full@example.org"])).await.unwrap_err();
    assert_eq!((error.class(), error.verdict()), ("Unavailable", &retry), "{error}");
    let error = tell(&run, to(&["ops@example.org", "nobody@example.org"])).await.unwrap_err();
    assert_eq!((error.class(), error.verdict()), ("Refused", &Verdict::Fail), "{error}");
    assert_eq!(sink.mails().unwrap().len(), 1, "no one got a part of a refused mail");

    sink.kill().unwrap();
    let error = tell(&run, to(&["ops@example.org"])).await.unwrap_err();
    assert_eq!((error.class(), error.verdict()), ("Network", &retry), "{error}");
    sink.start_again().unwrap();
    tell(&run, to(&["ops@example.org"])).await.unwrap();
    assert_eq!(sink.mails().unwrap().len(), 2);
}

#[tokio::test]
async fn no_text_of_anybodys_becomes_a_header() {
    let Some(sink) = smtp::own_server().unwrap() else { return };
    let dir = tempfile::tempdir().unwrap();
    let run = TestRun::new(dir.path());
    for (from, recipient) in [
        ("Updraft\r\nBcc: eve@example.org <updraft@example.org>", "ops@example.org"),
        ("updraft@example.org", "Ops\nBcc: eve@example.org <ops@example.org>"),
        ("updraft@example.org", "ops@example.org\r\nRCPT TO:<eve@example.org>"),
        ("updraft@example.org", "ops@example.org, eve@example.org"),
    ] {
        post_office(&run, &sink, &json!({ "from": from }));
        let error = tell(&run, to(&[recipient])).await.unwrap_err();
        assert_eq!((error.class(), error.verdict()), ("BadParameters", &Verdict::Fail), "{error}");
    }
    post_office(&run, &sink, &json!({}));
    let evil = "x\r\nBcc: eve@example.org\r\n\r\n<b>hi</b>\u{2028}\u{85}\0é";
    let mut params = to(&["ops@example.org"]);
    params["state"] = json!(evil);
    params["text"] = json!(evil);
    tell(&run, params.clone()).await.unwrap();
    params["subject"] = json!("{{ state }}\r\nBcc: eve@example.org {{ text }}");
    tell(&run, params).await.unwrap();
    let plain = tell(&run, to(&["ops@example.org"])).await.map(|_| sink.mails().unwrap().pop().unwrap()).unwrap();
    for mail in sink.mails().unwrap() {
        assert_eq!(mail.to, ["ops@example.org"]);
        assert_eq!(header_names(&mail), header_names(&plain), "{}", mail.data);
    }
}

#[tokio::test]
async fn an_html_template_makes_the_second_part_and_values_in_it_are_escaped() {
    let Some(sink) = smtp::own_server().unwrap() else { return };
    let dir = tempfile::tempdir().unwrap();
    let run = TestRun::new(dir.path());
    std::fs::write(
        dir.path().join("mail.html"),
        "<p>{{ workflow }}</p>{% for task in tasks %}<b>{{ task.error }}</b>{% endfor %}",
    )
    .unwrap();
    std::fs::write(dir.path().join("mail.txt"), "{{ tasks[0].error }}").unwrap();
    post_office(&run, &sink, &json!({}));
    run.set_siblings(vec![Sibling {
        error: Some(("Network".to_owned(), "<script>a & b</script>".to_owned())),
        ..sibling("load", TaskRunState::Failed)
    }]);
    let mut params = to(&["ops@example.org"]);
    params["template_file"] = json!(["mail.txt", "mail.html"]);
    tell(&run, params.clone()).await.unwrap();
    let mail = sink.mails().unwrap().pop().unwrap();
    assert!(header(&mail, "Content-Type").starts_with("multipart/alternative"), "{}", mail.data);
    let (text, html) = mail.data.split_once("text/html").unwrap();
    assert!(text.contains("<script>a & b</script>"), "{text}");
    assert!(html.contains("<p>test</p><b>&lt;script&gt;a &amp; b&lt;&#x2f;script&gt;</b>"), "{html}");
    // The HTML alone: the text is notify's own.
    params["template_file"] = json!("mail.html");
    tell(&run, params).await.unwrap();
    let mail = sink.mails().unwrap().pop().unwrap();
    assert!(mail.data.contains("test failed") && mail.data.contains("<p>test</p>"), "{}", mail.data);
}
