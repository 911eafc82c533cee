//! `opensky-standin`: the stand-in for the OpenSky API as a process of its own.
//!
//! Only arguments, the first line and the ways to end are here; the server is `updraft_testkit::opensky`.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::Parser;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};
use updraft_testkit::opensky::{Announcement, Options, PlannedFault, Standin};

/// Plays recorded OpenSky answers on a local port, counts credits, and fails on demand.
///
/// The first line of the output is JSON: url (the API's base URL), `token_url`, `client_id`, `client_secret`, pid.
/// GET /_ledger lists what was asked; POST /_fail?kind=KIND&n=N plans a failure while it runs.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,

    /// Recorded answers to play: files, or folders of which every *.json is played, one per poll. The last one repeats.
    #[arg(long, value_name = "FILE|FOLDER", num_args = 1.., required = true)]
    play: Vec<PathBuf>,

    /// Leave the aircraft where they were recorded instead of moving them along their track between polls.
    #[arg(long)]
    still: bool,

    /// Credits of every bucket [default: 400 anonymous, 4000 registered].
    #[arg(long, value_name = "N")]
    credits: Option<u32>,

    /// Lifetime of a token.
    #[arg(long, value_name = "SECONDS", default_value_t = 1_800)]
    token_ttl: u32,

    /// What goes wrong in the next call or N calls; may be given again, the order counts. KIND is one of
    /// 401 token-401 429 429-short 502 503 slow broken html drop null short dup future.
    #[arg(long, value_name = "KIND[:N]")]
    fail: Vec<PlannedFault>,

    /// How late a slow answer is.
    #[arg(long, value_name = "SECONDS", default_value_t = 45.0)]
    slow_seconds: f64,

    /// The account's id.
    #[arg(long, value_name = "ID", default_value = "standin")]
    client_id: String,

    /// The account's secret [default: a new one at each start].
    #[arg(long, value_name = "SECRET")]
    client_secret: Option<String>,

    /// Stop when standard input is closed, so that it ends with whoever started it.
    #[arg(long)]
    exit_with_stdin: bool,

    /// Stop after so many seconds.
    #[arg(long, value_name = "SECONDS")]
    max_seconds: Option<f64>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(io::stderr(), "opensky-standin: {error:#}").ok();
            ExitCode::from(2)
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    let defaults = Options::default();
    let options = Options {
        listen: arguments.listen,
        play: arguments.play,
        still: arguments.still,
        credits: arguments.credits,
        token_ttl_s: arguments.token_ttl,
        faults: arguments.fail,
        slow: seconds(arguments.slow_seconds, "--slow-seconds")?,
        client_id: arguments.client_id,
        client_secret: arguments.client_secret.unwrap_or(defaults.client_secret),
        ..defaults
    };
    let longest = arguments.max_seconds.map(|s| seconds(s, "--max-seconds")).transpose()?;
    let standin = Standin::start(&options)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot wait")?;
    runtime.block_on(serve_until_told(standin.announcement(), arguments.exit_with_stdin, longest))?;
    standin.stop();
    Ok(())
}

fn seconds(value: f64, option: &str) -> Result<Duration> {
    Duration::try_from_secs_f64(value).with_context(|| format!("{option} {value} is not a length of time"))
}

/// Says where it serves, and returns when it is to end. Whoever has read the line may already send a signal.
async fn serve_until_told(said: &Announcement, with_stdin: bool, longest: Option<Duration>) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    announce(said)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = stdin_closed(), if with_stdin => {}
        () = tokio::time::sleep(longest.unwrap_or_default()), if longest.is_some() => {}
    }
    Ok(())
}

fn announce(said: &Announcement) -> Result<()> {
    let line = serde_json::to_string(said).context("cannot write the announcement")?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).context("cannot write to standard output")
}

/// Reads whatever comes until the other end is closed, on a thread that is not waited for.
async fn stdin_closed() {
    let (closed, is_closed) = oneshot::channel();
    thread::spawn(move || {
        io::copy(&mut io::stdin().lock(), &mut io::sink()).ok();
        closed.send(()).ok();
    });
    is_closed.await.ok();
}
