//! `updraft-history`: plants a history into a store, for the UI's tests and for benchmarks.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use updraft_model::time::Timestamp;
use updraft_planted::sim::Planter;
use updraft_planted::{story, year};
use updraft_store::history::Note;
use updraft_store::logs::Logs;
use updraft_store::{History, Scheduling, Store, WorkerInfo};
use updraft_store_postgres::PgStore;
use updraft_store_sqlite::{OpenOptions, SqliteStore};

/// Plants a history: runs with known troubles, and with `--year` a year of 1,000 workflows.
///
/// The last line of the output is JSON: where each trouble is, and how much was written.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Where: `sqlite:PATH` or `postgres://USER@HOST/DATABASE?schema=NAME`. Made if it is missing.
    #[arg(long)]
    store: String,
    /// The instant that counts as now, RFC 3339; else the clock's.
    #[arg(long)]
    now: Option<String>,
    /// The same seed and instant give the same history.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes the workflows' files into this folder, a broken one among them.
    #[arg(long)]
    files: Option<PathBuf>,
    /// Besides, a year of 1,000 workflows and of one with 200 tasks: a million task runs.
    #[arg(long)]
    year: bool,
    /// With `--year`: so many workflows.
    #[arg(long, default_value_t = year::Size::YEAR.workflows)]
    workflows: u32,
    /// With `--year`: so many days.
    #[arg(long, default_value_t = year::Size::YEAR.days)]
    days: u32,
    /// Besides, one log of so many MiB in the story, with its first error at three fifths.
    #[arg(long, conflicts_with = "no_story")]
    log_mib: Option<u32>,
    /// Leaves the story out.
    #[arg(long)]
    no_story: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("no runtime")
        .and_then(|runtime| runtime.block_on(plant(&arguments)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(io::stderr(), "updraft-history: {error:#}").ok();
            ExitCode::from(2)
        }
    }
}

async fn plant(arguments: &Arguments) -> Result<()> {
    let now = match &arguments.now {
        Some(text) => Timestamp::parse(text).with_context(|| format!("`{text}` is no instant"))?,
        None => {
            let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
            Timestamp::from_millis(i64::try_from(since.as_millis())?)
        }
    };
    if let Some(folder) = &arguments.files {
        write_files(folder)?;
    }
    type Opened = (Arc<dyn Store>, Arc<dyn History>, Arc<dyn Logs>, Arc<dyn Scheduling>);
    let (store, history, logs, scheduling): Opened = if let Some(path) = arguments.store.strip_prefix("sqlite:") {
        let store = Arc::new(SqliteStore::open(path, OpenOptions::default()).await?);
        let history = Arc::new(store.reader());
        (Arc::clone(&store) as Arc<dyn Store>, history, Arc::clone(&store) as Arc<dyn Logs>, store)
    } else if arguments.store.starts_with("postgres") {
        let store = Arc::new(PgStore::open(&arguments.store).await?);
        (
            Arc::clone(&store) as Arc<dyn Store>,
            Arc::clone(&store) as Arc<dyn History>,
            Arc::clone(&store) as Arc<dyn Logs>,
            store,
        )
    } else {
        bail!("--store is sqlite:PATH or postgres://…");
    };
    let begun = Instant::now();
    let worker = WorkerInfo {
        name: "planted/1".to_owned(),
        host: "planted".to_owned(),
        pid: std::process::id(),
        build: env!("CARGO_PKG_VERSION").to_owned(),
        queues: vec!["default".to_owned()],
        slots: 8,
    };
    let worker = store.register(&worker).await?;
    let mut planter = Planter::new(store.as_ref(), worker, "default", arguments.seed, now);
    if arguments.year {
        let size = year::Size { workflows: arguments.workflows, days: arguments.days, ..year::Size::YEAR };
        let mut stderr = io::stderr();
        year::plant(store.as_ref(), &mut planter, now, size, |day| {
            if day % 30 == 0 {
                writeln!(stderr, "{day} days to go").ok();
            }
        })
        .await?;
        story::schedule(scheduling.as_ref(), &year::drafts(size), now).await?;
    }
    let mut large = None;
    let story = if arguments.no_story {
        story::Story::default()
    } else {
        let story = story::plant(store.as_ref(), &mut planter, now).await?;
        story::schedule(scheduling.as_ref(), &story::drafts(), now).await?;
        updraft_planted::logs::plant(history.as_ref(), logs.as_ref(), &story).await?;
        if let Some(mib) = arguments.log_mib {
            let bytes = u64::from(mib) << 20;
            let log = updraft_planted::logs::plant_large(history.as_ref(), logs.as_ref(), &story, bytes).await?;
            large = Some(format!("/runs/{}/tasks/{}", log.run_id, log.key.task));
        }
        if let Some(run) = story.failed.last() {
            let text = "Feed of region levant was cut; see the vendor's status page".to_owned();
            history.set_note(*run, &Note { text, by: "marta".to_owned(), at: now }).await?;
        }
        story
    };
    let written = planter.written;
    store.leave(worker).await?;
    store.close().await;
    let ids = |runs: &[updraft_model::id::RunId]| runs.iter().map(ToString::to_string).collect::<Vec<_>>();
    let said = serde_json::json!({
        "now": now.to_string(), "runs": written.runs, "task_runs": written.task_runs, "commits": written.commits,
        "seconds": begun.elapsed().as_secs_f64(),
        "flights": ids(&story.flights), "failed": ids(&story.failed), "second_try": ids(&story.second_try),
        "masked": ids(&story.masked), "lost": ids(&story.lost), "backfill_failed": ids(&story.backfill_failed),
        "rebuild": ids(&story.rebuild), "running": ids(&story.running), "changed": ids(&story.changed),
        "large_log": large,
    });
    writeln!(io::stdout(), "{said}").context("cannot write to standard output")
}

fn write_files(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for draft in story::drafts() {
        std::fs::write(folder.join(format!("{}.yaml", draft.id)), draft.yaml())?;
    }
    std::fs::write(folder.join(story::BROKEN.0), story::BROKEN.1)?;
    Ok(())
}
