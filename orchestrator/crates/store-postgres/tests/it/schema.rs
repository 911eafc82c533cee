//! Migrations and what the tables refuse.

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use updraft_store::StoreError;
use updraft_store_postgres::PgStore;
use updraft_testkit::postgres::fresh_schema;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn migrations_run_from_empty_once_also_when_four_processes_start_together() {
    let Some(schema) = tokio::task::block_in_place(fresh_schema).unwrap() else { return };
    let url = schema.url();
    assert!(matches!(PgStore::open_existing(url).await, Err(StoreError::Schema(_))), "there are no tables yet");
    let found =
        tokio::join!(PgStore::migrate(url), PgStore::migrate(url), PgStore::migrate(url), PgStore::migrate(url));
    for one in [found.0, found.1, found.2, found.3] {
        assert!(one.unwrap() <= updraft_store::schema::MIGRATIONS.len());
    }
    assert_eq!(PgStore::migrate(url).await.unwrap(), 0);
    PgStore::open_existing(url).await.unwrap();
    let mut look = PgConnection::connect(url).await.unwrap();
    let mut tables: Vec<(String, Vec<String>)> = sqlx::query_as(
        "SELECT table_name::text, array_agg(column_name::text ORDER BY ordinal_position) FROM information_schema.columns
         WHERE table_schema = current_schema() AND table_name <> '_sqlx_migrations' GROUP BY 1",
    )
    .fetch_all(&mut look)
    .await
    .unwrap();
    tables.sort();
    let mut expected: Vec<(String, Vec<String>)> = updraft_store::schema::TABLES
        .iter()
        .map(|(table, columns)| ((*table).to_owned(), columns.iter().map(|column| (*column).to_owned()).collect()))
        .collect();
    expected.sort();
    assert_eq!(tables, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_of_a_newer_build_is_refused_and_says_what_to_do() {
    let Some(schema) = tokio::task::block_in_place(fresh_schema).unwrap() else { return };
    PgStore::migrate(schema.url()).await.unwrap();
    let mut look = PgConnection::connect(schema.url()).await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (99, 'of the future', true, 'x', 1)",
    )
    .execute(&mut look)
    .await
    .unwrap();
    for answer in [PgStore::open(schema.url()).await, PgStore::open_existing(schema.url()).await] {
        let Err(StoreError::Schema(text)) = answer else { panic!("{answer:?}") };
        assert!(text.contains("a newer one"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_is_made_where_there_is_none_and_two_in_one_database_do_not_meet() {
    let Some(database) = tokio::task::block_in_place(updraft_testkit::postgres::fresh_database).unwrap() else {
        return;
    };
    let joint = if database.url().contains('?') { '&' } else { '?' };
    let of = |name: &str| format!("{}{joint}schema={name}", database.url());
    let (a, b) = (of("team_a"), of("team_b"));
    let (one, two) = tokio::join!(PgStore::open(&a), PgStore::open(&b));
    let (one, two) = (one.unwrap(), two.unwrap());
    use updraft_store::Store;
    let first = one.register(&crate::build::worker_info("a")).await.unwrap();
    let second = two.register(&crate::build::worker_info("b")).await.unwrap();
    assert_eq!(first, second, "both count from one");
    one.leave(first).await.unwrap();
    let peers = two.peers().await.unwrap();
    assert_eq!(peers.iter().map(|peer| peer.alive).collect::<Vec<_>>(), [Some(true)]);
    one.close().await;
    two.close().await;
}

/// Each statement makes a good row, then each change breaks one rule.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tables_refuse_impossible_rows() {
    let Some(schema) = tokio::task::block_in_place(fresh_schema).unwrap() else { return };
    PgStore::migrate(schema.url()).await.unwrap();
    let mut connection = PgConnection::connect(schema.url()).await.unwrap();
    sqlx::raw_sql(
        "INSERT INTO run (run_id, workflow_id, version_id, run_key, trigger, logical_at, interval_start, interval_end, conf,
             queue, priority, state, version, stamp, events, generation, created_at, started_at, updated_at)
         VALUES (gen_random_uuid(), 1, 1, 'k', 'manual', now(), now(), now(), '{}', 'q', 0, 'running', 1,
             gen_random_uuid(), 1, 0, now(), now(), now());
         INSERT INTO work (run_id, task_id, map_index, dispatch_no, try_no, losses, generation, place, queue, rank)
         VALUES (gen_random_uuid(), 't', -1, 1, 1, 0, 0, 'r', 'q', 0);
         INSERT INTO task_run (run_id, task_id, map_index, generation, dispatch_no, try_no, losses, state, cause, ended_at)
         VALUES (gen_random_uuid(), 't', -1, 0, 1, 1, 0, 'succeeded', 'task', now());
         INSERT INTO attempt (run_id, task_id, map_index, dispatch_no, attempt_id, try_no, generation, worker_no, claimed_at,
             ended_at, outcome, cause)
         VALUES (gen_random_uuid(), 't', -1, 1, gen_random_uuid(), 1, 0, 1, now(), now(), 'succeeded', 'task');
         INSERT INTO shared_state VALUES ('s', 'k', 'v', 1, now())",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    for change in [
        "UPDATE run SET state = 'succeeded'",
        "UPDATE run SET ended_at = now()",
        "UPDATE run SET state = 'failed', ended_at = now()",
        "UPDATE run SET state = 'finished'",
        "UPDATE run SET started_at = null",
        "UPDATE run SET version = 0",
        "UPDATE run SET interval_end = interval_start - interval '1 s'",
        "UPDATE run SET trigger = 'cron'",
        "UPDATE work SET place = 'x'",
        "UPDATE work SET place = 'q'",
        "UPDATE work SET worker_no = 1",
        "UPDATE work SET place = 't'",
        "UPDATE work SET due_at = now()",
        "UPDATE work SET cancel_at = now()",
        "UPDATE work SET dispatch_no = 0",
        "UPDATE work SET map_index = -2",
        "UPDATE task_run SET state = 'running'",
        "UPDATE task_run SET try_no = 0",
        "UPDATE task_run SET state = 'waiting'",
        "UPDATE task_run SET state = 'waiting', ended_at = null, cause = null",
        "UPDATE task_run SET ended_at = null",
        "UPDATE task_run SET cause = null",
        "UPDATE attempt SET outcome = 'done'",
        "UPDATE attempt SET output = repeat('x', 49153)",
        "UPDATE shared_state SET value = repeat('x', 16385)",
        "UPDATE shared_state SET version = 0",
    ] {
        let refused = sqlx::query(AssertSqlSafe(change.to_owned())).execute(&mut connection).await;
        let code = refused
            .as_ref()
            .err()
            .and_then(|error| error.as_database_error()?.code().map(std::borrow::Cow::into_owned));
        assert_eq!(code.as_deref(), Some("23514"), "{change}: {refused:?}");
    }
}
