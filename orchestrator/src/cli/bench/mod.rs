//! `updraft bench`: hops, fan-out, runs, triggers, schedules and the API beside the same store's bare commit, in one process.

mod api;

use std::path::Path;
use std::sync::Arc;

use clap::{Args as ClapArgs, ValueEnum};
use updraft_engine::bench::{self, BenchKind, BenchOptions, BenchReport};
use updraft_engine::bench_schedules::{ScheduleBench, ScheduleBenchOptions, run_schedules};

use super::{Session, output};
use crate::compose;
use crate::exit_code::{ExitCode, Failure};

/// What is measured.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Which {
    /// One task after the other: the latency of a hop
    Chain,
    /// Many tasks side by side after one: task runs a second
    Fanout,
    /// Many runs of one task
    Runs,
    /// From request to the first body running
    Trigger,
    /// `--tasks` schedules due in one second, of a hundred times as many: how long until all runs are made
    Schedules,
    /// From `POST …/runs` to the first body running, `--tasks` times; then fan-outs of ten times as many, with 50 event streams and without
    Api,
}

/// Arguments of `updraft bench`.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Measures an empty store: without --store a file that is removed afterwards; `--store memory` has no commits to wait for.\n\
The runs stay in a store that is named."
)]
pub struct Args {
    /// What is measured
    bench: Which,
    /// Tasks of the chain, leaves of the fan-out, runs, or schedules that are due
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    tasks: u32,
    /// Attempts that run at one time
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    slots: u32,
}

/// Carries it out.
pub async fn run(session: &Session, args: Args) -> Result<ExitCode, Failure> {
    let folder = session.project.data_dir().join(format!("bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)
        .map_err(|error| Failure::unreachable(format!("the folder {}: {error}", folder.display())))?;
    let measured = match args.bench {
        Which::Api => over_the_api(session, &args, &folder).await,
        Which::Schedules => schedules(session, &args, &folder).await.map(|found| (found, Vec::new())),
        Which::Chain => hops(session, &args, BenchKind::Chain, &folder).await,
        Which::Fanout => hops(session, &args, BenchKind::Fanout, &folder).await,
        Which::Runs => hops(session, &args, BenchKind::Runs, &folder).await,
        Which::Trigger => hops(session, &args, BenchKind::Trigger, &folder).await,
    };
    if let Err(error) = std::fs::remove_dir_all(&folder) {
        output::warning(&format!("{} is left behind: {error}", folder.display()));
    }
    let (found, warnings) = measured?;
    warnings.iter().for_each(|warning| output::warning(warning));
    match found {
        Found::Hops(report) if session.json => output::json_line(&report)?,
        Found::Hops(report) => print(&report),
        Found::Schedules(report) if session.json => output::json_line(&report)?,
        Found::Schedules(report) => print_schedules(&report),
        Found::Api(report) if session.json => output::json_line(&report)?,
        Found::Api(report) => print_api(&report),
    }
    Ok(ExitCode::Success)
}

/// What was measured.
enum Found {
    Hops(BenchReport),
    Schedules(ScheduleBench),
    Api(api::ApiBench),
}

async fn over_the_api(session: &Session, args: &Args, folder: &Path) -> Result<(Found, Vec<String>), Failure> {
    let tasks = usize::try_from(args.tasks).unwrap_or(usize::MAX);
    api::run(session, tasks, args.slots, folder).await.map(|found| (Found::Api(found), Vec::new()))
}

async fn schedules(session: &Session, args: &Args, folder: &Path) -> Result<Found, Failure> {
    let opened = compose::open_bench(session, folder).await?;
    let due = usize::try_from(args.tasks).unwrap_or(usize::MAX);
    let options = ScheduleBenchOptions {
        schedules: due.saturating_mul(100),
        due,
        schedulers: 2,
        store: Arc::clone(&opened.store),
        scheduling: vec![Arc::clone(&opened.scheduling), Arc::clone(&opened.scheduling)],
    };
    let measured = run_schedules(options).await;
    opened.store.close().await;
    measured.map(Found::Schedules).map_err(|error| Failure::unreachable(error.to_string()))
}

async fn hops(session: &Session, args: &Args, kind: BenchKind, folder: &Path) -> Result<(Found, Vec<String>), Failure> {
    let opened = compose::open_bench(session, folder).await?;
    let options = BenchOptions {
        kind,
        tasks: usize::try_from(args.tasks).unwrap_or(usize::MAX),
        slots: args.slots,
        store: opened.store.clone(),
        reader: opened.reader,
        folder: folder.to_owned(),
    };
    let measured = bench::run(options).await;
    opened.store.close().await;
    let measured = measured.map_err(|error| Failure::unreachable(error.to_string()))?;
    Ok((Found::Hops(measured.report), measured.warnings))
}

fn print_schedules(report: &ScheduleBench) {
    output::line(&format!(
        "{} of {} schedules due in one second on {}, {} schedulers: {} runs in {:.3} s, {} commits (published in {:.1} s)",
        output::count(report.due as u64),
        output::count(report.schedules as u64),
        report.store,
        report.schedulers,
        output::count(report.created),
        report.created_seconds,
        report.commits,
        report.publish_seconds
    ));
}

fn print_api(report: &api::ApiBench) {
    output::line(&format!("api on {}, {} triggers", report.store, output::count(report.tasks as u64)));
    output::table(&["", "P50", "P99"], vec![ms("trigger", &report.trigger_ms), ms("bare commit", &report.commit_ms)]);
    output::line(&format!(
        "task runs a second in fan-outs of {}: {:.0}; with {} event streams {:.0} (/events), {:.0} (/runs/{{run}}/events)",
        output::count(report.leaves as u64),
        report.tasks_per_s,
        report.streams,
        report.tasks_per_s_hints,
        report.tasks_per_s_run_events
    ));
}

fn ms(name: &str, of: &bench::Percentiles) -> Vec<String> {
    vec![name.to_owned(), format!("{:.3} ms", of.p50), format!("{:.3} ms", of.p99)]
}

fn print(report: &BenchReport) {
    output::line(&format!("{} on {}, {} tasks", report.bench.name(), report.store, output::count(report.tasks as u64)));
    let mut rows = Vec::new();
    rows.extend(
        report.hop_ms.as_ref().map(|hop| ms(if report.bench == BenchKind::Trigger { "trigger" } else { "hop" }, hop)),
    );
    rows.push(ms("bare commit", &report.commit_ms));
    output::table(&["", "P50", "P99"], rows);
    if let Some(rate) = report.tasks_per_s {
        output::line(&format!("{rate:.0} task runs a second"));
    }
    output::line(&format!("{} commits, {} round trips", report.commits, report.round_trips));
}
