//! `kill -9` of the run, of the daemon and of each server while the flagship runs on real servers: it costs time and no row.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use updraft_testkit::process::{Running, Stream};
use updraft_testkit::services::catalog::Server;

use crate::e2e_flagship::TASKS;
use crate::e2e_services::{PROFILE, Stage, all_there, expected};
use crate::e2e_support::{LOGICAL_DATE, RUN, Ran, demo_recording, tell, wait_until};

const FLAGSHIP: &str = "opensky_data_pipeline";

/// When something is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// As soon as the run says that a task has begun (`running`) or ended (`succeeded`).
    Boundary(&'static str, &'static str),
    /// In the middle of a task, with so many rows that it has a middle.
    Middle(&'static str),
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Boundary(task, state) => write!(f, "{task} {state}"),
            Self::Middle(task) => write!(f, "the middle of {task}"),
        }
    }
}

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    /// `updraft run`, which is resumed.
    Run,
    /// `updraft dev`, which is started again.
    Daemon,
    /// A server.
    Server(Server),
}

const VICTIMS: [Victim; 5] = [
    Victim::Run,
    Victim::Daemon,
    Victim::Server(Server::Kafka),
    Victim::Server(Server::Clickhouse),
    Victim::Server(Server::Postgres),
];

impl Victim {
    const fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Daemon => "daemon",
            Self::Server(server) => server.name(),
        }
    }
}

/// Rows of a run that is cut off in the middle of a load.
const CROWD: usize = 40_000;

/// The demo's recording with so many aircraft, each with its own address; and how many of them are on the ground.
fn crowd(folder: &Path) -> (PathBuf, u64) {
    let mut answer: Value = serde_json::from_slice(&std::fs::read(demo_recording()).unwrap()).unwrap();
    let known = answer["states"].as_array().unwrap().clone();
    let states = known.iter().cycle().take(CROWD).enumerate().map(|(number, state)| {
        let mut state = state.clone();
        state[0] = json!(format!("{number:06x}"));
        state
    });
    let states: Vec<Value> = states.collect();
    let on_ground = states.iter().filter(|state| state[8] == true).count();
    answer["states"] = states.into();
    let file = folder.join("crowd.json");
    std::fs::write(&file, answer.to_string()).unwrap();
    (file, on_ground as u64)
}

/// Kills the process or a server once in a run, which must end right all the same, and says what it took.
fn survives(victim: Victim, moment: Moment) {
    let folder = tempfile::tempdir().unwrap();
    let (recording, states, on_ground) = match moment {
        Moment::Boundary(..) => (demo_recording(), 509, 78),
        Moment::Middle(_) => {
            let (recording, on_ground) = crowd(folder.path());
            (recording, CROWD as u64, on_ground)
        }
    };
    let Some(mut stage) = Stage::new(recording) else { return };
    if victim == Victim::Server(Server::Postgres) {
        // Then it is also where the run itself is kept.
        let store = stage.servers.store_url().unwrap();
        stage.project = stage.project.on_store(&store);
    }
    let ran = match victim {
        Victim::Run => killed_run(&stage, moment),
        Victim::Daemon => killed_daemon(&stage, moment),
        Victim::Server(server) => killed_server(&mut stage, server, moment),
    }
    .ended_with(0);
    assert_eq!(ran.document["run"]["state"], "succeeded");
    let attempts: u64 = ran.tasks().iter().map(|task| task["attempts"].as_u64().unwrap()).sum();
    let found = stage.found();
    all_there(&found, &expected(states, states, on_ground));
    tell(&format!(
        "kill -9 of {:<10} at {:<44} succeeded, {attempts} attempts of {} tasks, nothing lost, nothing doubled",
        victim.name(),
        format!("`{moment}`:"),
        ran.tasks().len(),
    ));
}

const ARGUMENTS: [&str; 4] = ["-p", "regions=[\"north_america\"]", "--logical-date", LOGICAL_DATE];

impl Moment {
    /// The task, and the state that it is to reach.
    const fn reached(self) -> (&'static str, &'static str) {
        match self {
            Self::Boundary(task, state) => (task, state),
            Self::Middle(task) => (task, "running"),
        }
    }

    /// From there on, waits for the middle.
    fn wait_for_middle(self, stage: &Stage) {
        match self {
            Self::Boundary(..) => {}
            Self::Middle("publish_states") => stage.wait_for_records(),
            Self::Middle(_) => std::thread::sleep(Duration::from_millis(800)),
        }
    }
}

/// The flagship by `updraft run`, up to this moment.
fn run_until(stage: &Stage, moment: Moment) -> Running {
    let running = stage.project.start(&[&PROFILE[..], &ARGUMENTS].concat());
    let (task, state) = moment.reached();
    let line = format!("{task} {state}");
    running.wait_for_line(Stream::Err, |said| said.contains(&line)).unwrap();
    moment.wait_for_middle(stage);
    running
}

fn killed_run(stage: &Stage, moment: Moment) -> Ran {
    run_until(stage, moment).kill().unwrap();
    let resumed = stage.project.program(&[&["run", "--resume", "--json"], &PROFILE[..]].concat());
    let mut resumed = resumed.start().unwrap();
    resumed.close_input();
    Ran::of(&stage.project, resumed.wait(RUN).unwrap())
}

fn killed_server(stage: &mut Stage, server: Server, moment: Moment) -> Ran {
    let running = run_until(stage, moment);
    stage.servers.kill(server).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    stage.servers.start_again(server).unwrap();
    Ran::of(&stage.project, running.wait(RUN).unwrap())
}

fn killed_daemon(stage: &Stage, moment: Moment) -> Ran {
    let start = || {
        let arguments = [&["dev", "--json", "--listen", "127.0.0.1:0"], &PROFILE[..]].concat();
        let daemon = stage.project.program(&arguments).start().unwrap();
        daemon.wait_for_line(Stream::Out, |line| line.starts_with('{')).unwrap();
        daemon
    };
    let project = &stage.project;
    let daemon = start();
    // By hand alone: another interval has other rows.
    project.said(&["pause", FLAGSHIP]);
    let made = project.document(&[&["trigger", FLAGSHIP, "--json"], &ARGUMENTS[..]].concat());
    let id = made["id"].as_str().unwrap();
    let (task, state) = moment.reached();
    wait_until("the moment has come", || {
        let page = project.document(&["tasks", id, "--json"]);
        let found = page["items"].as_array().unwrap().iter().find(|found| found["task"] == task).unwrap();
        // It may have gone further between two looks.
        found["state"] == state || found["state"] == "succeeded"
    });
    moment.wait_for_middle(stage);
    daemon.kill().unwrap();
    let again = start();
    wait_until("the run has ended", || {
        let run = project.document(&["runs", "show", id, "--json"]);
        !matches!(run["state"].as_str().unwrap(), "queued" | "running")
    });
    let shown = Ran::of(project, project.program(&["runs", "show", id, "--json"]).run().unwrap());
    again.signal(Signal::SIGINT).unwrap();
    again.wait(RUN).unwrap();
    shown
}

#[test]
fn a_killed_run_is_resumed_without_loss_or_doubles() {
    survives(Victim::Run, Moment::Boundary("publish_states", "running"));
}

#[test]
fn a_killed_daemon_goes_on_without_loss_or_doubles() {
    survives(Victim::Daemon, Moment::Middle("load_processed"));
}

#[test]
fn a_broker_killed_in_the_middle_of_a_publish_costs_nothing_but_time() {
    survives(Victim::Server(Server::Kafka), Moment::Middle("publish_states"));
}

#[test]
fn a_clickhouse_killed_in_the_middle_of_a_load_costs_nothing_but_time() {
    survives(Victim::Server(Server::Clickhouse), Moment::Middle("load_processed"));
}

#[test]
fn a_postgres_killed_in_the_middle_of_a_load_costs_nothing_but_time() {
    survives(Victim::Server(Server::Postgres), Moment::Middle("load_processed"));
}

/// Every server, the run and the daemon at each task's beginning and end, and in the middle of what writes: `scripts/kill-matrix.sh`.
#[test]
#[ignore = "an hour"]
fn the_whole_matrix_of_kills() {
    let boundaries = TASKS.iter().filter(|task| **task != "notify_pipeline_completion");
    let boundaries = boundaries.flat_map(|task| ["running", "succeeded"].map(|state| Moment::Boundary(task, state)));
    let middles = ["publish_states", "load_processed", "dbt_run_models"].map(Moment::Middle);
    let moments: Vec<Moment> = boundaries.chain(middles).collect();
    let asked = std::env::var_os("UPDRAFT_KILL").unwrap_or_default().into_string().unwrap();
    let wanted = |victim: &Victim| asked.is_empty() || asked.split(' ').any(|word| word == victim.name());
    let mut failed = Vec::new();
    for victim in VICTIMS.into_iter().filter(wanted) {
        for moment in &moments {
            if std::panic::catch_unwind(|| survives(victim, *moment)).is_err() {
                let line =
                    format!("kill -9 of {:<10} at {:<44} FAILED, see above", victim.name(), format!("`{moment}`:"));
                tell(&line);
                failed.push(line);
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
