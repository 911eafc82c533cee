//! Workers in processes of their own, killed and stopped for real. Each is this test binary, started again for one test.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use updraft_engine::Engine;
use updraft_model::id::RunId;
use updraft_model::state::{Cause, Outcome, RunState};
use updraft_store::WorkerState;

use crate::liveness::quick;
use crate::support::{Place, config, detail, new_run, outcomes, postgres_at, sqlite, workflow};

const URL: &str = "UPDRAFT_TEST_WORKER_URL";
const FOLDER: &str = "UPDRAFT_TEST_WORKER_FOLDER";
const SLOTS: &str = "UPDRAFT_TEST_WORKER_SLOTS";
const SLOW: &str = "UPDRAFT_TEST_WORKER_DEFAULT_TIMES";

/// No test: what the other processes do. It serves the queue `default` until its input is closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_process() {
    let (Some(url), Some(folder)) = (std::env::var_os(URL), std::env::var_os(FOLDER)) else { return };
    let (url, folder) = (url.into_string().unwrap(), std::path::PathBuf::from(folder));
    let place = match url.strip_prefix("sqlite:") {
        Some(path) => sqlite(Path::new(path)).await,
        None => postgres_at(&url).await,
    };
    let mut config = config(&place, &folder);
    config.queues = vec!["default".to_owned()];
    config.slots = std::env::var_os(SLOTS).map_or(8, |slots| slots.into_string().unwrap().parse().unwrap());
    config.watch = Some(updraft_engine::Watch::default());
    if std::env::var_os(SLOW).is_none() {
        config.watch = Some(quick());
        config.heartbeat = Duration::from_secs(1);
        config.trust = Some(Duration::from_secs(3));
    }
    config.logs = Some(place.logs.clone());
    let engine = Engine::start(config).await.unwrap();
    eprintln!("serving as {}", engine.worker_no());
    tokio::task::spawn_blocking(|| std::io::stdin().lines().for_each(drop)).await.unwrap();
    engine.shutdown().await;
    place.store.close().await;
}

/// A worker process; killed with this value.
pub struct Worker {
    child: Child,
    number: i64,
}

impl Worker {
    pub fn start(url: &str, folder: &Path, more: &[(&str, &str)]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["processes::a_worker_process", "--exact", "--nocapture"])
            .env(URL, url)
            .env(FOLDER, folder)
            .envs(more.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let number = loop {
            let line = lines.next().expect("it serves before it ends").unwrap();
            if let Some(number) = line.strip_prefix("serving as ") {
                break number.parse().unwrap();
            }
            eprintln!("worker: {line}");
        };
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| eprintln!("worker {number}: {line}")));
        Self { child, number }
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// Its number in the store.
    pub fn number(&self) -> i64 {
        self.number
    }

    /// In good order.
    pub fn stop(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for bodies: `task attempt process` of each that began.
async fn noted(folder: &Path, wanted: impl Fn(&[Vec<String>]) -> bool) -> Vec<Vec<String>> {
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let text = std::fs::read_to_string(folder.join("bodies")).unwrap_or_default();
        let bodies: Vec<Vec<String>> = text.lines().map(|line| line.split(' ').map(str::to_owned).collect()).collect();
        if wanted(&bodies) {
            return bodies;
        }
        assert!(Instant::now() < deadline, "bodies so far: {bodies:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn began(bodies: &[Vec<String>], task: &str, attempt: u32) -> bool {
    bodies.iter().any(|body| body[0] == task && body[1] == attempt.to_string())
}

/// `first`, then one that may be done twice and one that may not, both waiting for a file.
async fn two_kinds(place: &Place, folder: &Path) -> RunId {
    let note = json!({ "act": "note", "argv": [folder] });
    create(
        place,
        folder,
        json!([
            { "id": "first", "type": "act" },
            { "id": "may", "type": "act", "with": note, "depends_on": ["first"] },
            { "id": "must_not", "type": "once", "with": note, "depends_on": ["first"] },
        ]),
    )
    .await
}

/// Makes a run that others carry out.
pub async fn create(place: &Place, folder: &Path, tasks: Value) -> RunId {
    let mut maker = config(place, folder);
    maker.slots = 0;
    let maker = Engine::start(maker).await.unwrap();
    let mut new = new_run(&*place.store, workflow(tasks)).await;
    new.queue = Some("default".to_owned());
    let run = maker.create_run(new).await.unwrap().run_id();
    maker.shutdown().await;
    run
}

pub async fn over(place: &Place, run: RunId) -> updraft_store::read::RunDetail {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let found = detail(place, run).await;
        if found.run.row.projection.state.is_final() {
            return found;
        }
        assert!(Instant::now() < deadline, "{:?}", found.work);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// As if a worker's last heartbeat had been so long ago.
pub async fn age_lease(url: &str, worker: i64) {
    use sqlx::Connection;
    let mut admin = sqlx::PgConnection::connect(url).await.unwrap();
    let aged =
        sqlx::query("UPDATE updraft.worker SET lease_until = lease_until - interval '60 s' WHERE worker_no = $1")
            .bind(worker)
            .execute(&mut admin)
            .await
            .unwrap();
    assert_eq!(aged.rows_affected(), 1);
    admin.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_workers_attempts_run_elsewhere_and_accepted_results_stay() {
    let Some((place, database)) = crate::support::postgres().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let dying = Worker::start(database.url(), folder, &[]);
    let run = two_kinds(&place, folder).await;
    noted(folder, |bodies| began(bodies, "may", 1) && began(bodies, "must_not", 1)).await;
    let survivor = Worker::start(database.url(), folder, &[]);
    tokio::time::sleep(quick().settle + Duration::from_secs(1)).await;
    dying.signal(Signal::SIGKILL);
    let killed = Instant::now();
    let bodies = noted(folder, |bodies| began(bodies, "may", 2)).await;
    assert!(killed.elapsed() < Duration::from_secs(10), "{:?}", killed.elapsed());
    assert!(!began(&bodies, "must_not", 2), "its lease has not run out");
    assert_eq!(bodies.last().unwrap()[2], survivor.pid());
    age_lease(database.url(), dying.number).await;
    noted(folder, |bodies| began(bodies, "must_not", 2)).await;
    std::fs::write(folder.join("go"), "").unwrap();
    let found = over(&place, run).await;
    assert_eq!(found.run.row.projection.state, RunState::Succeeded);
    assert_eq!(outcomes(&found, "first"), [Outcome::Succeeded], "an accepted result is never made again");
    for (task, cause) in [("may", Cause::WorkerSuspect), ("must_not", Cause::WorkerDied)] {
        assert_eq!(outcomes(&found, task), [Outcome::Lost, Outcome::Succeeded], "{task}");
        let lost = found.attempts.iter().find(|row| row.key.task.as_str() == task && row.dispatch_no == 1).unwrap();
        assert_eq!(lost.cause, cause);
        let words = lost.message.as_deref().unwrap();
        assert!(words.starts_with("worker ") && words.contains(" stopped answering at "), "{words}");
    }
    let may = found.task_runs.iter().find(|row| row.key.task.as_str() == "may").unwrap();
    assert_eq!(may.losses, 0, "a suspicion costs nothing");
    survivor.stop();
    place.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_restart_of_one_worker_leaves_the_attempts_of_another_alone() {
    let Some((place, database)) = crate::support::postgres().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let start = || Worker::start(database.url(), folder, &[(SLOTS, "1")]);
    let (one, two) = (start(), start());
    let note = json!({ "act": "note", "argv": [folder] });
    let tasks = json!([{ "id": "a", "type": "once", "with": note }, { "id": "b", "type": "once", "with": note }]);
    let run = create(&place, folder, tasks).await;
    let bodies = noted(folder, |bodies| bodies.len() == 2).await;
    let task_of = |worker: &Worker| bodies.iter().find(|body| body[2] == worker.pid()).unwrap()[0].clone();
    let (of_one, of_two) = (task_of(&one), task_of(&two));
    one.stop();
    let again = start();
    noted(folder, |bodies| began(bodies, &of_one, 2)).await;
    tokio::time::sleep(quick().settle + quick().absent + Duration::from_secs(2)).await;
    std::fs::write(folder.join("go"), "").unwrap();
    let found = over(&place, run).await;
    assert_eq!(outcomes(&found, &of_two), [Outcome::Succeeded]);
    assert_eq!(outcomes(&found, &of_one), [Outcome::Lost, Outcome::Succeeded]);
    for worker in [two, again] {
        worker.stop();
    }
    place.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_worker_loses_its_attempts_and_comes_back_under_a_new_number() {
    let Some((place, database)) = crate::support::postgres().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let stopped = Worker::start(database.url(), folder, &[]);
    let run = two_kinds(&place, folder).await;
    noted(folder, |bodies| began(bodies, "may", 1) && began(bodies, "must_not", 1)).await;
    let survivor = Worker::start(database.url(), folder, &[]);
    stopped.signal(Signal::SIGSTOP);
    tokio::time::sleep(quick().settle + Duration::from_secs(1)).await;
    // Its sessions live on in the kernel: only the lease tells.
    age_lease(database.url(), stopped.number).await;
    let bodies = noted(folder, |bodies| began(bodies, "may", 2) && began(bodies, "must_not", 2)).await;
    assert!(bodies.iter().filter(|body| body[1] == "2").all(|body| body[2] == survivor.pid()));
    stopped.signal(Signal::SIGCONT);
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let peers = place.store.peers().await.unwrap();
        let back = peers.iter().any(|peer| {
            peer.info.pid == stopped.child.id()
                && peer.state == WorkerState::Active
                && peer.worker_no.0 != stopped.number
        });
        if back {
            break;
        }
        assert!(Instant::now() < deadline, "{peers:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    std::fs::write(folder.join("go"), "").unwrap();
    let found = over(&place, run).await;
    assert_eq!(found.run.row.projection.state, RunState::Succeeded);
    for task in ["may", "must_not"] {
        assert_eq!(outcomes(&found, task), [Outcome::Lost, Outcome::Succeeded], "{task}");
    }
    let by_survivor = found.attempts.iter().filter(|row| row.outcome == Outcome::Succeeded && row.dispatch_no == 2);
    assert!(
        by_survivor.clone().count() == 2
            && by_survivor.clone().all(|row| row.output.as_deref().unwrap().contains(&survivor.pid()))
    );
    stopped.stop();
    survivor.stop();
    place.store.close().await;
}

/// One file, one process: at its restart everything is known at once.
#[tokio::test(flavor = "multi_thread")]
async fn an_embedded_daemon_goes_on_at_once_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let url = format!("sqlite:{}", folder.display());
    let run = {
        let place = sqlite(folder).await;
        let run = two_kinds(&place, folder).await;
        place.store.close().await;
        run
    };
    let killed = Worker::start(&url, folder, &[]);
    noted(folder, |bodies| began(bodies, "may", 1) && began(bodies, "must_not", 1)).await;
    drop(killed);
    let again = Worker::start(&url, folder, &[]);
    let restarted = Instant::now();
    noted(folder, |bodies| began(bodies, "may", 2) && began(bodies, "must_not", 2)).await;
    assert!(restarted.elapsed() < Duration::from_secs(5), "{:?}", restarted.elapsed());
    std::fs::write(folder.join("go"), "").unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let reader = updraft_store_sqlite::SqliteReader::open(folder.join("updraft.db")).await.unwrap();
    let found = loop {
        let found = updraft_store::Reader::detail(&reader, run).await.unwrap().unwrap();
        if found.run.row.projection.state.is_final() {
            break found;
        }
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    for task in ["may", "must_not"] {
        assert_eq!(outcomes(&found, task), [Outcome::Lost, Outcome::Succeeded], "{task}");
    }
    assert_eq!(outcomes(&found, "first"), [Outcome::Succeeded]);
    again.stop();
}

/// Median and worst of kills with the product's own times: `cargo test … -- --ignored kills_in_a_row --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes many minutes: kills with the product's own times"]
async fn kills_in_a_row_are_noticed_in_time() {
    const KILLS: usize = 20;
    let Some((place, database)) = crate::support::postgres().await else { return };
    let (mut quick_ones, mut others) = (Vec::new(), Vec::new());
    let mut serving = Worker::start(database.url(), tempfile::tempdir().unwrap().path(), &[(SLOW, "1")]);
    for round in 0..KILLS {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let run = two_kinds(&place, folder).await;
        noted(folder, |bodies| began(bodies, "may", 1) && began(bodies, "must_not", 1)).await;
        let next = Worker::start(database.url(), folder, &[(SLOW, "1")]);
        tokio::time::sleep(Duration::from_millis(16_000 + 977 * (round as u64 % 10))).await;
        serving.signal(Signal::SIGKILL);
        let killed = Instant::now();
        noted(folder, |bodies| began(bodies, "may", 2)).await;
        quick_ones.push(killed.elapsed());
        noted(folder, |bodies| began(bodies, "must_not", 2)).await;
        others.push(killed.elapsed());
        std::fs::write(folder.join("go"), "").unwrap();
        over(&place, run).await;
        serving = next;
    }
    for (what, mut times) in [("idempotent", quick_ones), ("others", others)] {
        times.sort();
        eprintln!("{what}: median {:?}, worst {:?}", times[KILLS / 2], times[KILLS - 1]);
        assert!(times[KILLS - 1] < Duration::from_secs(if what == "others" { 50 } else { 10 }), "{what}: {times:?}");
    }
    serving.stop();
}
