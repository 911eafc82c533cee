//! `updraft dev` and `updraft serve`: the daemon in the foreground.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args as ClapArgs;
use serde_json::json;

use super::{Session, output};
use crate::compose::{self, StoreUrl};
use crate::daemon::{self, Daemon, Options, Roles};
use crate::exit_code::{ExitCode, Failure};
use crate::lifecycle::Signals;
use crate::remote::sockets;

/// Where `dev` and `serve` listen if nothing else is said.
const ADDRESS: &str = "127.0.0.1:8765";

/// Arguments of `updraft dev`.
#[derive(Debug, ClapArgs)]
pub struct Dev {
    /// Where the pages and the API are; port 0 takes one that is free
    #[arg(long, value_name = "ADDRESS", default_value = ADDRESS)]
    listen: SocketAddr,
    #[command(flatten)]
    common: Common,
}

/// Arguments of `updraft serve`.
#[derive(Debug, ClapArgs)]
pub struct Serve {
    /// What this process does
    #[arg(long, value_name = "ROLES", default_value = "api,scheduler,worker")]
    roles: Roles,
    /// Where the pages and the API are (may be given more than once) [default: server.listen of updraft.yaml, else 127.0.0.1:8765]
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<SocketAddr>,
    /// Why others than this machine may reach it; needed for any other address than loopback
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, ClapArgs)]
struct Common {
    /// A workflow folder (may be given more than once) [default: those of updraft.yaml]
    #[arg(long = "folder", value_name = "FOLDER")]
    folders: Vec<PathBuf>,
    /// Profile whose connections are used [default: the project's `default_profile`]
    #[arg(long)]
    profile: Option<String>,
    /// Attempts that run at one time
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    slots: Option<u32>,
}

/// `updraft dev`.
pub async fn dev(session: &Session, args: Dev) -> Result<ExitCode, Failure> {
    if !args.listen.ip().is_loopback() {
        return Err(Failure::input(format!("`updraft dev` listens on this machine alone, not on {}", args.listen))
            .hint("`updraft serve` can be opened to others: docs/security.md"));
    }
    if matches!(session.store, StoreUrl::Postgres(_)) && !session.store_given {
        return Err(Failure::input("`updraft dev` keeps its history in SQLite"));
    }
    let options = options(session, args.common, Roles::all(), vec![args.listen], None, true);
    run(session, options).await
}

/// `updraft serve`.
pub async fn serve(session: &Session, args: Serve) -> Result<ExitCode, Failure> {
    let mut listen = args.listen;
    if listen.is_empty() {
        listen.clone_from(&session.project.server.listen);
    }
    if listen.is_empty() {
        listen.push(
            ADDRESS.parse().map_err(|_| Failure::input("the default address is none: this is a bug of Updraft"))?,
        );
    }
    if !args.roles.has(daemon::Role::Api) {
        listen.clear();
    }
    let options = options(session, args.common, args.roles, listen, args.reason, false);
    run(session, options).await
}

fn options(
    session: &Session,
    common: Common,
    roles: Roles,
    listen: Vec<SocketAddr>,
    reason: Option<String>,
    dev: bool,
) -> Options {
    let folders = if common.folders.is_empty() {
        session.project.workflows.clone()
    } else {
        common.folders.iter().map(|folder| session.cwd.join(folder)).collect()
    };
    for folder in folders.iter().filter(|folder| !folder.is_dir()) {
        // Not fatal: a folder may appear later, and is then loaded.
        output::warning(&format!("the workflow folder {} does not exist", folder.display()));
    }
    let socket = sockets(&session.store, &session.project).own();
    Options {
        roles,
        listen,
        folders,
        profile: common.profile,
        slots: common.slots,
        reason,
        dev,
        socket,
        seals: true,
        bench: None,
    }
}

async fn run(session: &Session, options: Options) -> Result<ExitCode, Failure> {
    let mut signals = Signals::new().map_err(|error| Failure::unreachable(format!("signals: {error}")))?;
    let is_dev = options.dev;
    let opened = compose::open(session).await?;
    let daemon = daemon::start(session, options, opened).await?;
    announce(session, &daemon, is_dev)?;
    signals.next().await;
    output::note("stopping: nothing new starts, running attempts get up to 30 s; once more stops at once");
    tokio::select! {
        () = daemon.drain() => {}
        () = signals.next() => daemon.abort().await,
    }
    daemon.shutdown().await;
    Ok(ExitCode::Success)
}

fn announce(session: &Session, daemon: &Daemon, is_dev: bool) -> Result<(), Failure> {
    let url = daemon.url();
    let login = url.as_ref().zip(daemon.login_path.as_ref()).map(|(url, path)| format!("{url}{path}"));
    if session.json {
        return output::json_line(&json!({ "url": url, "login_url": login }));
    }
    match (&url, &login) {
        (Some(url), Some(login)) if is_dev => {
            output::line(&format!("Updraft is at {url}. Open this, it logs you in until the process ends:"));
            output::line(&format!("  {login}"));
        }
        (Some(url), Some(login)) => {
            output::line(&format!("Updraft is at {url}. It has no admin yet; this link works once, for an hour:"));
            output::line(&format!("  {login}"));
        }
        (Some(url), None) => output::line(&format!("Updraft is at {url}")),
        (None, _) => output::line("Updraft runs, without pages: this process has no role `api`"),
    }
    output::note(&output::dim(&format!("history: {}", session.store.shown())));
    Ok(())
}
