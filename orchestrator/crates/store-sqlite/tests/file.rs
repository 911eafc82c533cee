//! What is SQLite's alone: the file, its lock, its schema, its readers in other processes, its constraints.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::float_cmp,
    reason = "tests say what they expect"
)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, Row};
use tempfile::TempDir;
use updraft_store::conformance::World;
use updraft_store::conformance::world::after;
use updraft_store::read::RunFilter;
use updraft_store::schema::{MIGRATIONS, TABLES};
use updraft_store::{Lane, LaneOutcome, Loaded, Reader, Store, StoreError};
use updraft_store_sqlite::{OpenOptions, SqliteReader, SqliteStore, lock_path, owner};

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("deep").join("store.db");
    (folder, path)
}

async fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, OpenOptions::default()).await.expect("open")
}

async fn world(path: &Path) -> World {
    let store = open(path).await;
    let reader = store.reader();
    World::new(Arc::new(store), Arc::new(reader)).await
}

async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).connect().await.expect("a raw connection")
}

fn all() -> RunFilter {
    RunFilter { limit: 100, ..RunFilter::default() }
}

#[tokio::test]
async fn the_schema_is_the_one_that_both_databases_share() {
    let (_folder, path) = folder();
    open(&path).await.close().await;
    let mut connection = raw(&path).await;
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> '_sqlx_migrations'";
    let mut found: Vec<String> =
        connection.fetch_all(tables).await.expect("tables").iter().map(|row| row.get(0)).collect();
    let mut expected: Vec<&str> = TABLES.iter().map(|(table, _)| *table).collect();
    found.sort();
    expected.sort_unstable();
    assert_eq!(found, expected);
    for (table, columns) in TABLES {
        let sql = AssertSqlSafe(format!("SELECT name FROM pragma_table_info('{table}') ORDER BY cid"));
        let found: Vec<String> =
            connection.fetch_all(sql).await.expect("columns").iter().map(|row| row.get(0)).collect();
        assert_eq!(found, *columns, "{table}");
    }
}

#[tokio::test]
async fn an_empty_file_gets_every_migration_once() {
    let (_folder, path) = folder();
    let status = SqliteStore::migration_status(&path).await.expect("status");
    let known: Vec<(i64, &str)> = status.iter().map(|m| (m.version, m.name.as_str())).collect();
    assert_eq!(known, MIGRATIONS);
    assert!(status.iter().all(|migration| !migration.applied && migration.known));
    let all: Vec<i64> = MIGRATIONS.iter().map(|(version, _)| *version).collect();
    assert_eq!(SqliteStore::migrate(&path).await.expect("migrate"), all);
    assert_eq!(SqliteStore::migrate(&path).await.expect("migrate"), [0_i64; 0]);
    let status = SqliteStore::migration_status(&path).await.expect("status");
    assert!(status.iter().all(|migration| migration.applied && migration.known));
}

#[tokio::test]
async fn a_newer_schema_is_refused_by_owner_and_reader() {
    let (_folder, path) = folder();
    open(&path).await.close().await;
    let newer = "INSERT INTO _sqlx_migrations VALUES (99, 'pools', '2030-01-01', TRUE, x'00', 1)";
    raw(&path).await.execute(newer).await.expect("insert");
    let Err(StoreError::Schema(text)) = SqliteStore::open(&path, OpenOptions::default()).await else {
        panic!("opened a newer store")
    };
    assert!(text.contains("migration 99 (pools), made by a newer updraft"), "{text}");
    assert!(matches!(SqliteReader::open(&path).await, Err(StoreError::Schema(_))));
    assert!(matches!(SqliteStore::migrate(&path).await, Err(StoreError::Schema(_))));
    assert_eq!(owner(&path).expect("a look at the lock"), None, "a failed opening keeps the lock");
}

#[tokio::test]
async fn an_older_schema_is_migrated_by_the_owner_and_refused_to_readers() {
    let (_folder, path) = folder();
    open(&path).await.close().await;
    let older = "DELETE FROM _sqlx_migrations WHERE version = 7; DROP TABLE bench_commit";
    raw(&path).await.execute(older).await.expect("make it older");
    let Err(StoreError::Schema(text)) = SqliteReader::open(&path).await else { panic!("read an older store") };
    let all = MIGRATIONS.len();
    assert!(text.contains(&format!("migration {} of {all}", all - 1)) && text.contains("updraft migrate"), "{text}");
    assert_eq!(SqliteStore::migrate(&path).await.expect("migrate"), [7]);
    SqliteReader::open(&path).await.expect("it is current now");
}

#[tokio::test]
async fn a_file_has_one_owner_who_is_named() {
    let (_folder, path) = folder();
    assert_eq!(owner(&path).expect("a look"), None);
    let store = open(&path).await;
    assert_eq!(owner(&path).expect("a look"), Some(std::process::id()));
    for second in
        [SqliteStore::open(&path, OpenOptions::default()).await.map(drop), SqliteStore::migrate(&path).await.map(drop)]
    {
        let Err(StoreError::Held { what, holder }) = second else { panic!("two owners: {second:?}") };
        assert_eq!(what, path.display().to_string());
        assert_eq!(holder, format!("process {}", std::process::id()));
    }
    store.close().await;
    assert_eq!(owner(&path).expect("a look"), None);
    open(&path).await.close().await;
}

#[tokio::test]
async fn files_and_new_folders_belong_to_this_user_alone() {
    let (_folder, path) = folder();
    let world = world(&path).await;
    let mode = |path: &Path| std::fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
    assert_eq!(mode(path.parent().expect("a folder")), 0o700);
    let with = |ending: &str| PathBuf::from(format!("{}{ending}", path.display()));
    for file in [path.clone(), lock_path(&path), with("-wal"), with("-shm")] {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    world.close().await;
}

#[tokio::test]
async fn a_reader_needs_a_file() {
    let (_folder, path) = folder();
    let Err(StoreError::Unavailable(text)) = SqliteReader::open(&path).await else { panic!("read nothing") };
    assert!(text.contains("there is no store at") && text.contains("store.db"), "{text}");
    assert!(!path.exists(), "a reader made a file");
}

#[tokio::test]
async fn readers_see_commits_while_the_owner_lives_and_after_it_left() {
    let (_folder, path) = folder();
    let world = world(&path).await;
    let reader = SqliteReader::open(&path).await.expect("open beside the owner");
    assert_eq!(reader.runs(&all()).await.expect("runs"), []);
    let (known, _) = world.start_executing().await;
    assert_eq!(reader.runs(&all()).await.expect("runs").len(), 1);
    world.close().await;
    assert_eq!(reader.runs(&all()).await.expect("runs").len(), 1);
    let late = SqliteReader::open(&path).await.expect("open without an owner");
    assert!(late.run(known.run).await.expect("run").is_some());
}

/// `kill -9`: the log was never checkpointed, its index is gone.
#[tokio::test]
async fn a_crash_loses_nothing_that_was_answered() {
    let (folder, path) = folder();
    let world = world(&path).await;
    let (known, _) = world.start_executing().await;
    let crashed = folder.path().join("crashed.db");
    std::fs::copy(&path, &crashed).expect("copy");
    let ending = |path: &Path| PathBuf::from(format!("{}-wal", path.display()));
    std::fs::copy(ending(&path), ending(&crashed)).expect("copy the log");
    let reader = SqliteReader::open(&crashed).await.expect("open");
    assert!(reader.run(known.run).await.expect("run").is_some(), "a reader of the crashed file");
    reader.close().await;
    let store = open(&crashed).await;
    let loaded = store.load(&[(known.run, Some((known.version, known.stamp)))]).await.expect("load");
    assert_eq!(loaded, [Loaded::Unchanged(known.run)], "the next owner");
    let peers = store.peers().await.expect("peers");
    assert_eq!(
        peers.iter().map(|peer| peer.alive).collect::<Vec<_>>(),
        [Some(false)],
        "the dead worker is seen as dead"
    );
    store.close().await;
    world.close().await;
}

#[tokio::test]
async fn a_reader_cannot_write() {
    let (_folder, path) = folder();
    open(&path).await.close().await;
    let mut connection = SqliteConnectOptions::new().filename(&path).read_only(true).connect().await.expect("connect");
    assert!(connection.execute("DELETE FROM run").await.is_err());
}

#[tokio::test]
async fn commits_are_durable_by_the_settings_of_the_writer() {
    let (_folder, path) = folder();
    let store = open(&path).await;
    assert_eq!(store.durable().await.expect("durable"), Ok(()));
    store.close().await;
    let answer = store.bare_commit().await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "a closed store answers: {answer:?}");
}

/// The writer outlives a decision that panics.
#[tokio::test]
async fn a_panic_in_a_decision_harms_its_lane_alone() {
    let (_folder, path) = folder();
    let world = world(&path).await;
    let (known, row) = world.start_executing().await;
    let before = world.everything(&[known.run]).await;
    let lane = world.store.commit_locked(known.run, Lane::Cancel, world.now(), Box::new(|_| panic!("a bug"))).await;
    let Err(StoreError::Other(text)) = lane else { panic!("{lane:?}") };
    assert!(text.contains("a bug"), "{text}");
    assert_eq!(world.everything(&[known.run]).await, before);
    let (hop, _) = world.hop(known, &row, "b");
    world.apply(&world.batch(vec![hop])).await;
    world.close().await;
}

/// reliability.md §3.13: callers that go away in the middle leave no open transaction and no half of a commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_dropped_calls_leave_the_writer_whole() {
    let (_folder, path) = folder();
    let world = Arc::new(world(&path).await);
    let (mut known, _) = world.start_executing().await;
    for n in 0..1000_u32 {
        let commit = world.next(known);
        let batch = world.batch(vec![commit]);
        let next = after(&batch.runs[0]);
        let caller = {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                match n % 3 {
                    0 => drop(world.store.commit(&batch).await),
                    1 => {
                        let decide = Box::new(move |_| batch.runs.into_iter().next());
                        drop(world.store.commit_locked(known.run, Lane::Plain, world.now(), decide).await);
                    }
                    _ => drop(world.store.set_shared_state("s", &n.to_string(), "v", 0, world.now()).await),
                }
            })
        };
        for _ in 0..n % 7 {
            tokio::task::yield_now().await;
        }
        caller.abort();
        drop(caller.await);
        // Behind everything that was sent before: whatever that call did is done now.
        if world.store.outcome(next.run, next.version, next.stamp).await.expect("outcome") {
            known = next;
        }
    }
    let loaded = world.full(known.run).await;
    assert_eq!((loaded.row.version, loaded.row.stamp), (known.version, known.stamp));
    assert_eq!(world.reader.history(known.run, 0).await.expect("history").len() as u64, known.version);
    let lane = world.store.commit_locked(known.run, Lane::Plain, world.now(), Box::new(|_| None)).await.expect("lane");
    assert_eq!(lane, LaneOutcome::Nothing);
    // Had a transaction been left open, this other connection could not begin one.
    let mut other = raw(&path).await;
    other.execute("BEGIN IMMEDIATE; COMMIT").await.expect("nobody holds the write lock");
    world.close().await;
}

/// F28: the log is written back again and again and does not grow with the number of commits: these are 90 MB of pages,
/// and 64 MiB are the bound at which the checkpointer waits, however slow this machine is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_stays_small_under_many_commits() {
    let (_folder, path) = folder();
    let world = world(&path).await;
    let value = "x".repeat(16_000);
    for n in 0..4000 {
        world.store.set_shared_state("s", &(n % 50).to_string(), &value, n / 50, world.now()).await.expect("set");
    }
    let log = std::fs::metadata(format!("{}-wal", path.display())).expect("the log").len();
    assert!(log < 72 << 20, "the log has {log} bytes after 90 MB of commits");
    world.close().await;
}

/// Rows that no run of the engine can make are refused by the tables themselves, whoever writes them.
#[tokio::test]
async fn the_tables_refuse_impossible_rows() {
    let (_folder, path) = folder();
    let world = world(&path).await;
    let (known, _) = world.start_executing().await;
    world.close().await;
    let mut connection = raw(&path).await;
    let refused = [
        "UPDATE run SET state = 'paused'",
        "UPDATE run SET state = 'succeeded'",
        "UPDATE run SET ended_at = 1",
        "UPDATE run SET state = 'failed', ended_at = 1, cause = NULL",
        "UPDATE run SET started_at = NULL",
        "UPDATE run SET state = 'queued'",
        "UPDATE run SET trigger = 'whim'",
        "UPDATE run SET version = 0",
        "UPDATE run SET stamp = 'x'",
        "UPDATE run SET interval_end = interval_start - 1",
        "UPDATE run SET conf = NULL",
        "UPDATE run SET priority = 'high'",
        "UPDATE work SET place = 'q'",
        "UPDATE work SET place = 'r'",
        "UPDATE work SET worker_no = NULL",
        "UPDATE work SET attempt_id = NULL",
        "UPDATE work SET claimed_at = NULL",
        "UPDATE work SET due_at = 1",
        "UPDATE work SET place = 't', worker_no = NULL, attempt_id = NULL, claimed_at = NULL",
        "UPDATE work SET place = 'r', worker_no = NULL, attempt_id = NULL, claimed_at = NULL, cancel_at = 1",
        "UPDATE work SET dispatch_no = 0",
        "UPDATE work SET try_no = 0",
        "UPDATE work SET map_index = -2",
        "UPDATE work SET task_id = ''",
        "UPDATE worker SET state = 'tired'",
        "UPDATE workflow_version SET workflow_id = 999",
        "UPDATE workflow_version SET sha256 = 'x'",
        "INSERT INTO task_run VALUES ('r', 'a', -1, 0, 1, 1, 0, 'running', 'task', NULL, 1, NULL)",
        "INSERT INTO task_run VALUES ('r', 'a', -1, 0, 0, 1, 0, 'failed', 'task', NULL, 1, NULL)",
        "INSERT INTO task_run VALUES ('r', 'a', -1, 0, 1, 1, 0, 'failed', 'task', NULL, NULL, NULL)",
        "INSERT INTO task_run VALUES ('r', 'a', -1, 1, 1, 1, 0, 'failed', NULL, NULL, 1, NULL)",
        "INSERT INTO task_run VALUES ('r', 'a', -1, 0, 1, 1, 0, 'waiting', NULL, NULL, NULL, NULL)",
        "INSERT INTO task_run VALUES ('r', 'a', -1, 1, 1, 1, 0, 'waiting', 'task', NULL, NULL, NULL)",
        "INSERT INTO task_run VALUES ('r', 'a', -1, 0, 0, 0, 0, 'waiting', NULL, NULL, NULL, -1)",
        "INSERT INTO task_run VALUES ('r', 'a', -1, 1, 1, 1, 0, 'waiting', NULL, NULL, 1, NULL)",
        "INSERT INTO attempt SELECT run_id, 'a', -1, 1, run_id, 1, 0, 1, 1, NULL, 1, 'ready', 'task', NULL, NULL, NULL, NULL FROM run",
        "INSERT INTO attempt SELECT run_id, 'a', -1, 1, run_id, 1, 0, NULL, 1, NULL, 1, 'lost', 'task', NULL, NULL, NULL, NULL FROM run",
        "INSERT INTO attempt SELECT run_id, 'a', -1, 1, run_id, 1, 0, 1, 1, NULL, 1, 'lost', 'task', NULL, printf('%.8193c', 'x'), NULL, NULL FROM run",
        "INSERT INTO attempt SELECT run_id, 'a', -1, 1, run_id, 1, 0, 1, 1, NULL, 1, 'lost', 'task', NULL, NULL, printf('%.49153c', 'x'), NULL FROM run",
        "INSERT INTO shared_state VALUES ('s', 'k', printf('%.16385c', 'x'), 1, 1)",
        "INSERT INTO shared_state VALUES ('s', 'k', 'v', 0, 1)",
        "INSERT INTO run_log SELECT run_id, version, stamp, at, actor, body FROM run_log",
        "INSERT INTO workflow (name, created_at) SELECT name, 1 FROM workflow",
    ];
    for sql in refused {
        let answer = connection.execute(sql).await;
        let Err(error) = answer else { panic!("not refused: {sql}") };
        let code =
            error.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default().into_owned();
        assert_eq!(code.parse::<i32>().expect("a number") & 0xff, 19, "{sql}: {error}");
    }
    let allowed = [
        "UPDATE run SET state = 'cancelled', ended_at = 1, cause = 'cancel_requested'",
        "UPDATE work SET cancel_at = 1",
        "INSERT INTO task_run VALUES ('r', 'a', -1, 0, 0, 0, 0, 'upstream_failed', 'upstream_failed', NULL, 1, NULL)",
        "INSERT INTO task_run VALUES ('r', 'b', -1, 1, 1, 1, 0, 'waiting', NULL, NULL, NULL, NULL)",
        "INSERT INTO task_run VALUES ('r', 'm', -1, 0, 0, 0, 0, 'waiting', NULL, NULL, NULL, 3)",
    ];
    for sql in allowed {
        connection.execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    assert_eq!(known.version, 1);
}
