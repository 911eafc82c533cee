//! The daemon from outside: `dev` and `serve`, what other commands do beside them, and what a kill leaves behind.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use updraft_testkit::postgres::fresh_database;
use updraft_testkit::process::{PATIENCE, Running, Stream};

use crate::cli_support::{CHAIN, Place, WAITS};

/// Fires by itself every second.
const TICKS: &str = "\
id: ticks
schedule: {every: 1s}
catchup: none
tasks:
  - {id: only, type: noop}
";

/// A daemon, and the place where it runs.
struct Daemon<'p> {
    place: &'p Place,
    running: Running,
    url: String,
    login: String,
    store: Vec<String>,
}

impl<'p> Daemon<'p> {
    fn start(place: &'p Place, arguments: &[&str], store: &[&str]) -> Self {
        let all = [arguments, &["--json", "--listen", "127.0.0.1:0"], store].concat();
        let running = place.start(&all);
        let line = running.wait_for_line(Stream::Out, |line| line.starts_with('{')).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        Self {
            place,
            running,
            url: said["url"].as_str().unwrap().to_owned(),
            login: said["login_url"].as_str().unwrap_or_default().to_owned(),
            store: store.iter().map(|one| (*one).to_owned()).collect(),
        }
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let store: Vec<&str> = self.store.iter().map(String::as_str).collect();
        self.place.json(&[arguments, &["--json"], &store].concat())
    }

    /// Runs of a workflow, newest first.
    fn runs(&self, workflow: &str) -> Vec<Value> {
        self.json(&["runs", "--workflow", workflow])["items"].as_array().unwrap().clone()
    }

    fn until(&self, what: &str, mut is: impl FnMut(&Self) -> bool) {
        let begin = Instant::now();
        while !is(self) {
            assert!(begin.elapsed() < PATIENCE, "{what} does not come");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn stop(self) {
        self.running.signal(Signal::SIGINT).unwrap();
        let finished = self.running.wait(PATIENCE).unwrap();
        assert_eq!(finished.code(), Some(0), "{}", finished.err);
    }
}

fn workflows(files: &[(&str, &str)]) -> Place {
    let place = Place::new(&[]);
    for (name, text) in files {
        place.write(&format!("workflows/{name}"), text);
    }
    place
}

#[test]
fn dev_fires_schedules_answers_triggers_and_pauses() {
    let place = workflows(&[("ticks.yaml", TICKS), ("chain.yaml", CHAIN)]);
    let daemon = Daemon::start(&place, &["dev"], &[]);
    assert!(daemon.login.starts_with(&format!("{}/login-link?token=", daemon.url)), "{}", daemon.login);
    daemon.until("a scheduled run", |daemon| {
        daemon.runs("ticks").iter().filter(|run| run["state"] == "succeeded").count() >= 2
    });

    let plan = daemon.json(&["trigger", "chain", "--dry-run", "-p", "name=you"]);
    assert_eq!(plan["action"], "trigger");
    assert!(daemon.runs("chain").is_empty(), "a dry run made a run");
    let ended = daemon.json(&["trigger", "chain", "-p", "name=you", "--wait", "--note", "by hand"]);
    assert_eq!(
        (&ended["state"], &ended["params"]["name"], &ended["note"]),
        (&"succeeded".into(), &"you".into(), &"by hand".into())
    );
    let wrong = place.updraft(&["trigger", "chain", "-p", "nam=you"]);
    assert_eq!(wrong.code(), Some(2), "{}", wrong.out);
    assert!(wrong.err.contains("nam"), "{}", wrong.err);

    let paused = daemon.json(&["pause", "ticks", "--reason", "a test"]);
    assert_eq!(paused["paused"], true);
    let count = daemon.runs("ticks").len();
    std::thread::sleep(Duration::from_millis(2500));
    assert!(daemon.runs("ticks").len() <= count + 1, "a paused workflow fires");
    daemon.json(&["unpause", "ticks"]);
    let then = daemon.runs("ticks").len();
    daemon.until("a run after the pause", |daemon| daemon.runs("ticks").len() > then);
    daemon.stop();
}

#[test]
fn a_changed_file_is_live_a_broken_one_keeps_its_last_version() {
    let place = workflows(&[("chain.yaml", CHAIN)]);
    let daemon = Daemon::start(&place, &["dev"], &[]);
    assert_eq!(daemon.json(&["trigger", "chain", "--wait"])["version"], 1);
    place.write("workflows/chain.yaml", &CHAIN.replace("hello", "good morning"));
    daemon.until("the second version", |daemon| daemon.json(&["workflows"])["items"][0]["version"] == 2);
    assert_eq!(daemon.json(&["trigger", "chain", "--wait"])["version"], 2);
    place.write("workflows/chain.yaml", &CHAIN.replace("noop", "nooop"));
    daemon.until("the diagnostics", |daemon| {
        daemon.json(&["status"])["catalog"]["broken"][0]["diagnostics"][0]["code"] == "W501"
    });
    let ended = daemon.json(&["trigger", "chain", "--wait"]);
    assert_eq!((&ended["version"], &ended["state"]), (&2.into(), &"succeeded".into()));
    daemon.stop();
}

#[test]
fn a_workflow_that_was_first_run_by_hand_is_scheduled_all_the_same() {
    let place = workflows(&[("ticks.yaml", TICKS)]);
    assert_eq!(place.updraft(&["run", "workflows/ticks.yaml"]).code(), Some(0));
    let daemon = Daemon::start(&place, &["dev"], &[]);
    daemon.until("a scheduled run", |daemon| {
        daemon.json(&["runs", "--trigger", "schedule"])["items"].as_array().is_some_and(|runs| !runs.is_empty())
    });
    assert_eq!(daemon.json(&["workflows"])["items"][0]["version"], 1, "the same content is one version");
    daemon.stop();
}

#[test]
fn kill_of_dev_in_the_middle_of_a_run_loses_nothing_and_repeats_nothing_accepted() {
    let place = workflows(&[("waits.yaml", WAITS)]);
    let daemon = Daemon::start(&place, &["dev"], &[]);
    let made = daemon.json(&["trigger", "waits"]);
    let run = made["id"].as_str().unwrap().to_owned();
    daemon.until("the task in the middle", |daemon| {
        daemon.json(&["tasks", &run])["items"].as_array().unwrap().iter().any(|task| task["state"] == "running")
    });
    daemon.running.kill().unwrap();
    place.write("go", "");
    let again = Daemon::start(&place, &["dev"], &[]);
    again.until("the end of the run", |daemon| daemon.runs("waits")[0]["state"] == "succeeded");
    let tasks = again.json(&["tasks", &run]);
    let attempts = tasks["items"].as_array().unwrap().iter().map(|task| task["attempts"].as_array().unwrap().len());
    let attempts: Vec<usize> = attempts.collect();
    assert_eq!(attempts, [1, 2, 1], "{tasks}");
    again.stop();
}

#[test]
fn of_two_serves_on_postgresql_the_survivor_takes_over() {
    let Some(database) = fresh_database().unwrap() else { return };
    let place = workflows(&[("waits.yaml", WAITS), ("ticks.yaml", TICKS)]);
    let store = ["--store", database.url()];
    let first = Daemon::start(&place, &["serve"], &store);
    let run = first.json(&["trigger", "waits"])["id"].as_str().unwrap().to_owned();
    first.until("the task in the middle", |daemon| {
        daemon.json(&["tasks", &run])["items"].as_array().unwrap().iter().any(|task| task["state"] == "running")
    });
    let second = Daemon::start(&place, &["serve"], &store);
    first.running.kill().unwrap();
    place.write("go", "");
    second.until("the end of the run", |daemon| daemon.runs("waits")[0]["state"] == "succeeded");
    let logical: Vec<String> =
        second.runs("ticks").iter().map(|run| run["logical_date"].as_str().unwrap().to_owned()).collect();
    let mut once = logical.clone();
    once.dedup();
    assert_eq!(logical, once, "a fire has two runs");
    second.stop();
}

#[test]
fn serve_does_not_open_to_others_without_a_reason() {
    let place = workflows(&[("chain.yaml", CHAIN)]);
    let refused = place.updraft(&["serve", "--listen", "0.0.0.0:0"]);
    assert_eq!(refused.code(), Some(2), "{}", refused.out);
    for needed in ["reason", "public_url", "TLS"] {
        assert!(refused.err.contains(needed), "{needed} is not named:\n{}", refused.err);
    }
    let dev = place.updraft(&["dev", "--listen", "0.0.0.0:0"]);
    assert_eq!(dev.code(), Some(2), "{}", dev.err);
}

#[test]
fn tasks_that_run_commands_are_refused_on_queues_that_are_not_listed() {
    let command = "id: shell\ntasks:\n  - id: only\n    type: command\n    with: {argv: [touch, ran]}\n    retry: {limit: 3, delay: 1s}\n";
    let place = workflows(&[("shell.yaml", command)]);
    for (queues, refused) in [("[elsewhere]", true), ("[]", true), ("[elsewhere, default]", false)] {
        place.write("updraft.yaml", &format!("server: {{shell_queues: {queues}}}\n"));
        let daemon = Daemon::start(&place, &["dev"], &[]);
        let ended = daemon.json(&["trigger", "shell", "--wait"]);
        assert_eq!(ended["state"], if refused { "failed" } else { "succeeded" }, "{queues}: {ended}");
        assert_eq!(place.path("ran").exists(), !refused, "{queues}");
        let shown = place.updraft(&["runs", "show", "latest"]).out;
        assert_eq!(shown.contains("server.shell_queues"), refused, "{queues}: {shown}");
        // It was not tried again: the run would still be waiting for its retry.
        daemon.stop();
    }
}

#[test]
fn serve_does_not_open_with_a_tls_key_that_others_can_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = workflows(&[("chain.yaml", CHAIN)]);
    place.write("updraft.yaml", "server: {tls: {certificate: cert.pem, key: key.pem}}\n");
    let absent = place.updraft(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(absent.code() == Some(2) && absent.err.contains("key.pem"), "{}", absent.err);
    place.write("key.pem", "-----BEGIN PRIVATE KEY-----\n");
    std::fs::set_permissions(place.path("key.pem"), std::fs::Permissions::from_mode(0o640)).unwrap();
    let refused = place.updraft(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(refused.code() == Some(2) && refused.err.contains("chmod 600"), "{}", refused.err);
}

#[test]
fn a_connection_that_is_added_or_removed_counts_for_workflow_files_without_a_restart() {
    let asks = "id: asks\ntasks:\n  - id: only\n    type: http.request\n    conn: shop\n    with: {path: /}\n";
    let place = workflows(&[("asks.yaml", asks), ("chain.yaml", CHAIN)]);
    let daemon = Daemon::start(&place, &["dev"], &[]);
    let broken = |daemon: &Daemon<'_>| daemon.json(&["status"])["catalog"]["broken"].as_array().map_or(0, Vec::len);
    assert_eq!(broken(&daemon), 1, "{}", daemon.json(&["status"]));
    let set = place.updraft(&["connections", "set", "shop", "--kind", "http", "base_url=http://127.0.0.1:9/"]);
    assert_eq!(set.code(), Some(0), "{}", set.err);
    daemon.until("the workflow", |daemon| broken(daemon) == 0);
    assert!(daemon.json(&["workflows"])["items"].as_array().unwrap().iter().any(|one| one["id"] == "asks"));
    let removed = place.updraft(&["connections", "remove", "shop"]);
    assert_eq!(removed.code(), Some(0), "{}", removed.err);
    daemon.until("the diagnostic", |daemon| broken(daemon) == 1);
    daemon.stop();
}
