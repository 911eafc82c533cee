//! How long lists take on a large planted store: `UPDRAFT_HISTORY_BENCH=sqlite:PATH|postgres://…`, planted before by
//! `updraft-history --year`. `UPDRAFT_HISTORY_CLIENTS` (50) clients ask beside each other. Prints p50 and p95.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use updraft_model::state::RunState;
use updraft_model::time::Timestamp;
use updraft_planted::story::DAY;
use updraft_store::history::{GridAsk, HomeAsk, RunsAsk, WorkflowsAsk};
use updraft_store::{History, StoreError};
use updraft_store_postgres::PgStore;
use updraft_store_sqlite::SqliteReader;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a large planted store: UPDRAFT_HISTORY_BENCH"]
async fn lists_of_a_large_history() {
    #[expect(clippy::disallowed_methods, reason = "a bench is told where its store is")]
    let (url, clients) = (std::env::var("UPDRAFT_HISTORY_BENCH"), std::env::var("UPDRAFT_HISTORY_CLIENTS"));
    let url = url.expect("UPDRAFT_HISTORY_BENCH names the store");
    let clients: usize = clients.ok().and_then(|text| text.parse().ok()).unwrap_or(50);
    let history: Arc<dyn History> = match url.strip_prefix("sqlite:") {
        Some(path) => Arc::new(SqliteReader::open(path).await.unwrap()),
        None => Arc::new(PgStore::open_existing(&url).await.unwrap()),
    };
    let newest = history.run_lines(&RunsAsk { limit: 1, ..RunsAsk::default() }).await.unwrap();
    let now = newest.items[0].created_at;
    let workflow = newest.items[0].workflow.clone();
    for clients in [1, clients] {
        println!("{url}: {clients} clients");
        for list in LISTS {
            measure(list, clients, &history, &workflow, now).await;
        }
    }
}

const LISTS: [&str; 12] = [
    "runs, newest 50",
    "runs of a workflow",
    "runs, failed",
    "runs, last 24 h",
    "workflows, 50",
    "workflows, 1000",
    "home, 24 h",
    "grid 60 x 200",
    "grid 365 x 200",
    "durations 100 x 200",
    "usual of 200 tasks",
    "calendar of a year",
];

async fn ask(list: &str, history: &dyn History, workflow: &str, now: Timestamp) -> Result<(), StoreError> {
    let day = Timestamp::from_millis(now.as_millis() - DAY);
    let runs = RunsAsk { limit: 50, ..RunsAsk::default() };
    let workflows = |limit| WorkflowsAsk { limit, now, ..WorkflowsAsk::default() };
    let grid = |runs| GridAsk { runs, ..GridAsk::default() };
    match list {
        "runs, newest 50" => history.run_lines(&runs).await.map(drop),
        "runs of a workflow" => {
            history.run_lines(&RunsAsk { workflow: Some(workflow.to_owned()), ..runs }).await.map(drop)
        }
        "runs, failed" => history.run_lines(&RunsAsk { states: vec![RunState::Failed], ..runs }).await.map(drop),
        "runs, last 24 h" => history.run_lines(&RunsAsk { since: Some(day), ..runs }).await.map(drop),
        "workflows, 50" => history.workflow_lines(&workflows(50)).await.map(drop),
        "workflows, 1000" => history.workflow_lines(&workflows(1_000)).await.map(drop),
        "home, 24 h" => history.home(&HomeAsk { since: day, until: now, limit: 50 }).await.map(drop),
        "grid 60 x 200" => history.grid("wide_daily", &grid(60)).await.map(drop),
        "grid 365 x 200" => history.grid("wide_daily", &grid(365)).await.map(drop),
        "durations 100 x 200" => history.durations("wide_daily", 100).await.map(drop),
        "usual of 200 tasks" => history.usual("wide_daily").await.map(drop),
        "calendar of a year" => {
            let from = Timestamp::from_millis(now.as_millis() - 366 * DAY);
            history.calendar(workflow, from, now, &[]).await.map(drop)
        }
        other => panic!("{other} is no list"),
    }
}

/// Asks at least four times a client and 40 times in all, all clients beside each other.
async fn measure(list: &'static str, clients: usize, history: &Arc<dyn History>, workflow: &str, now: Timestamp) {
    let rounds = (40 / clients).max(4);
    let tasks = (0..clients).map(|_| {
        let (history, workflow) = (Arc::clone(history), workflow.to_owned());
        tokio::spawn(async move {
            let mut took = Vec::with_capacity(rounds);
            for _ in 0..rounds {
                let begun = Instant::now();
                ask(list, history.as_ref(), &workflow, now).await.unwrap();
                took.push(begun.elapsed());
            }
            took
        })
    });
    let mut took: Vec<Duration> = join_all(tasks).await.into_iter().flat_map(Result::unwrap).collect();
    took.sort_unstable();
    let at = |share: usize| took[(took.len() * share).div_ceil(100).max(1) - 1].as_secs_f64() * 1_000.0;
    println!("  {list:<22} p50 {:>9.2} ms   p95 {:>9.2} ms", at(50), at(95));
}
