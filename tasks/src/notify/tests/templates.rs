//! Messages in the project's own words, and the mistakes in them.

use std::time::Duration;

use super::*;

async fn render(run: &TestRun, source: &str) -> Result<Output, TaskError> {
    std::fs::create_dir_all(run.folder().join("ops")).unwrap();
    std::fs::write(run.folder().join("ops/message.txt"), source).unwrap();
    tell(run, json!({ "template_file": "ops/message.txt", "when": "always", "text": "see {{ board }}" })).await
}

#[tokio::test]
async fn a_template_reads_the_run_its_tasks_and_the_state_before() {
    let dir = tempfile::tempdir().unwrap();
    let run = TestRun::new(dir.path());
    let source = "{{ workflow }}|{{ state }}|{{ previous_state }}|{{ run }}|{{ logical_date }}|{{ text }}|\
                  {% for task in tasks %}{{ task.id }},{{ task.state }},{{ task.error_class }},{{ task.error }},{{ task.duration_s }};{% endfor %}";
    run.set_siblings(vec![
        Sibling { duration: Some(Duration::from_millis(1_500)), ..sibling("a", TaskRunState::Succeeded) },
        Sibling { error: Some(("Network".into(), "<no> route".into())), ..sibling("b", TaskRunState::Failed) },
    ]);
    let first = render(&run, source).await.unwrap().message;
    let facts = "00000000-0000-0000-0000-000000000001|2026-01-01T00:00:00Z|see {{ board }}|";
    assert_eq!(first, format!("test|failed|None|{facts}a,succeeded,None,None,1.5;b,failed,Network,<no> route,None;"));
    run.set_siblings(vec![sibling("a", TaskRunState::Succeeded)]);
    let second = render(&run, source).await.unwrap().message;
    assert_eq!(second, format!("test|succeeded|failed|{facts}a,succeeded,None,None,None;"));
}

#[tokio::test]
async fn a_recovery_says_what_it_recovers_from() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = TestRun::new(dir.path());
    run.set_siblings(vec![Sibling {
        error: Some(("Network".into(), "no route".into())),
        ..sibling("load", TaskRunState::Failed)
    }]);
    assert!(!tell(&run, json!({})).await.unwrap().message.contains("comes after"));
    run.info.run_id = "00000000-0000-0000-0000-000000000002".parse().unwrap();
    run.set_siblings(vec![sibling("load", TaskRunState::Succeeded)]);
    let message = tell(&run, json!({})).await.unwrap().message;
    let line = "recovers from failed (logical date 2026-01-01T00:00:00Z, run 00000000-0000-0000-0000-000000000001): load (Network)";
    assert_eq!(message.lines().nth(1), Some(line), "{message}");
    // The next one is no recovery.
    let message = tell(&run, json!({ "when": "always" })).await.unwrap().message;
    assert!(!message.contains("recovers"), "{message}");
}

#[tokio::test]
async fn a_mistake_in_a_template_is_told_with_file_line_and_reason_and_nothing_goes_out() {
    let dir = tempfile::tempdir().unwrap();
    let run = TestRun::new(dir.path());
    for (source, place, reason) in [
        ("a\nb\n{{ wrkflow }}", "ops/message.txt:3", "wrkflow"),
        ("{{ connections.chat.url }}", "ops/message.txt:1", "connections"),
        ("{{ env.HOME }}", "ops/message.txt:1", "undefined"),
        ("a\n{% if %}", "ops/message.txt:2", "unexpected"),
        ("\n\n{% for x in tasks %}", "ops/message.txt:3", "end of input"),
        ("{{ state | nofilter }}", "ops/message.txt:1", "nofilter"),
        ("{% include '/etc/hostname' %}", "ops/message.txt:1", "hostname"),
        (
            "{% for a in range(100000) %}{% for b in range(100000) %}{{ b }}{% endfor %}{% endfor %}",
            "ops/message.txt",
            "",
        ),
        ("{% for a in range(9000) %}{{ 'xxxxxxxxxxxxxxxx' }}{% endfor %}", "ops/message.txt", "65536 bytes"),
    ] {
        let error = render(&run, source).await.unwrap_err();
        assert_eq!((error.class(), error.verdict()), ("BadTemplate", &Verdict::Fail), "{source}: {error}");
        assert!(error.message().starts_with(place) && error.message().contains(reason), "{source}: {error}");
    }
    assert_eq!(run.lines(), []);
}

#[tokio::test]
async fn template_files_are_utf8_files_of_the_project_and_at_most_one_of_each_kind() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::NamedTempFile::new().unwrap();
    let run = TestRun::new(dir.path());
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("bytes.txt"), b"ok\nok\xff").unwrap();
    std::fs::write(at("large.txt"), vec![b'x'; 70_000]).unwrap();
    std::fs::write(at("a.txt"), "a").unwrap();
    std::fs::write(at("b.txt"), "b").unwrap();
    std::os::unix::fs::symlink(outside.path(), at("link.txt")).unwrap();
    for (file, part) in [
        (json!("none.txt"), "none.txt: cannot be read"),
        (json!("."), "cannot be read"),
        (json!("bytes.txt"), "bytes.txt:2: is not UTF-8"),
        (json!("large.txt"), "70000 bytes"),
        (json!(outside.path()), "outside the project"),
        (json!("../../../../../../etc/hostname"), "outside the project"),
        (json!("link.txt"), "outside the project"),
        (json!(["a.txt", "b.txt"]), "b.txt: `a.txt` is the text template already"),
    ] {
        let error = tell(&run, json!({ "template_file": file })).await.unwrap_err();
        assert!(error.class() == "BadTemplate" && error.message().contains(part), "{file}: {error}");
    }
    let error = tell(&run, json!({ "subject": "{{ stat }}" })).await.unwrap_err();
    assert!(error.class() == "BadTemplate" && error.message().starts_with("subject:1: `stat`"), "{error}");
}
