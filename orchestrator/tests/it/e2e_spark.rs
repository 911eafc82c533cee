//! A job on a Spark cluster outlives the daemon that submitted it: the next daemon finds the running driver again.

use std::fs;

use nix::sys::signal::Signal;
use serde_json::json;
use updraft_testkit::process::{PATIENCE, Stream};
use updraft_testkit::services::spark;

use crate::cli_support::{Dev, Place};
use crate::e2e_support::wait_until;

/// Says that it is there, waits for a file, and publishes nothing but its manifest.
const WAITER: &str = r#"
import json, os, sys, time
from urllib.parse import urlparse
with open(sys.argv[1] + ".pid", "a") as file:
    file.write(f"{os.getpid()}\n")
while not os.path.exists(sys.argv[1]):
    time.sleep(0.2)
place = urlparse(os.environ["UPDRAFT_SPARK_MANIFEST"]).path
os.makedirs(os.path.dirname(place), exist_ok=True)
with open(place, "w") as file:
    json.dump({"application_id": "none", "rows": 0, "files": []}, file)
"#;

#[test]
fn a_driver_outlives_the_daemon_and_the_next_one_takes_it_over() {
    let Some(cluster) = spark::server().unwrap() else { return };
    let programs = spark::programs().unwrap().unwrap();
    for killed in [true, false] {
        let place = Place::new(&[("waiter.py", WAITER)]);
        let connection = json!({
            "kind": "spark", "home": programs.home().unwrap(), "python": programs.python(), "jars": programs.jars(),
            "master": cluster.master_url(), "rest_url": cluster.rest_url(), "ui_url": cluster.ui_url(),
        });
        let lake = json!({ "kind": "lake", "url": place.path("lake") });
        let project = json!({ "profiles": { "embedded": { "connections": { "spark": connection, "lake": lake } } } });
        place.write("updraft.yaml", &project.to_string());
        let go = place.path("go");
        let with = json!({
            "file": place.path("waiter.py"), "args": [go], "mode": "rest", "cores": 1, "output": { "prefix": "out" },
        });
        // No try is spent on the daemon's end.
        let task = json!({ "id": "job", "type": "spark.submit", "conn": "spark", "with": with });
        place.write("workflows/job.yaml", &json!({ "id": "job", "tasks": [task] }).to_string());

        let Dev { running: first, .. } = Dev::start(&place);
        let id = place.json(&["trigger", "job", "--json"])["id"].as_str().unwrap().to_owned();
        let pids = || fs::read_to_string(place.path("go.pid")).unwrap_or_default();
        wait_until("the driver works", || !pids().is_empty());
        if killed {
            first.kill().unwrap();
        } else {
            // The first signal waits for what runs, the second does not.
            first.signal(Signal::SIGTERM).unwrap();
            first.wait_for_line(Stream::Err, |line| line.contains("stopping")).unwrap();
            first.signal(Signal::SIGTERM).unwrap();
            first.wait(PATIENCE).unwrap();
        }
        let second = Dev::start(&place);
        wait_until("the second attempt runs", || {
            let task = &place.json(&["tasks", &id, "--json"])["items"][0];
            task["attempts"].as_array().is_some_and(|attempts| attempts.len() == 2) && task["state"] == "running"
        });
        place.write("go", "");
        wait_until("the run has ended", || {
            !matches!(place.json(&["runs", "show", &id, "--json"])["state"].as_str().unwrap(), "queued" | "running")
        });
        let ended = place.json(&["runs", "show", &id, "--json"]);
        assert_eq!(ended["state"], "succeeded", "{ended:#}");
        assert_eq!(pids().lines().count(), 1, "one driver did it, killed: {killed}");
        second.stop();
    }
}
