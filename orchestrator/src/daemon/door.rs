//! How the daemon opens to others, or why it must not.

use std::os::unix::fs::MetadataExt as _;

use updraft_auth::{BehindProxy, Door, DoorConfig, KeyOrigin, ShellPolicy, TlsFiles, judge};

use super::Options;
use crate::cli::Session;
use crate::compose::Desk;
use crate::exit_code::Failure;

/// Judges what was configured.
///
/// # Errors
/// Every reason not to open, with its remedy.
pub async fn open(session: &Session, options: &Options, desk: &Desk, key: &KeyOrigin) -> Result<Door, Failure> {
    let settings = &session.project.server;
    // A process that only listens on its socket judges the loopback door, which nobody walks through.
    let nowhere = options.listen.is_empty();
    let behind_proxy = match &settings.behind_proxy {
        Some(proxy) if !options.is_alone() => {
            let trusted = proxy.trusted.iter().map(|text| {
                text.parse().map_err(|_| {
                    Failure::input(format!("server.behind_proxy.trusted: `{text}` is no network"))
                        .hint("write one as 10.0.0.0/8")
                })
            });
            Some(BehindProxy { trusted: trusted.collect::<Result<_, _>>()? })
        }
        Some(_) | None => None,
    };
    let tls = settings.tls.as_ref().map(|tls| {
        let key = session.project.dir.join(&tls.key);
        let key_mode = std::fs::metadata(&key).ok().map(|about| about.mode());
        TlsFiles { certificate: session.project.dir.join(&tls.certificate), key, key_mode }
    });
    let listen = if nowhere { vec![([127, 0, 0, 1], 0).into()] } else { options.listen.clone() };
    let config = DoorConfig {
        listen,
        reason: options.reason.clone().or_else(|| settings.reason.clone()),
        public_url: settings.public_url.clone(),
        behind_proxy,
        tls,
        log_in: super::log_in(options, desk).await?,
        master_key: key.clone(),
        store: desk.facts.clone(),
        shell_queues: settings.shell_queues.clone(),
        connection_test: settings.connection_test,
        api_docs: None,
        session: None,
    };
    let opens_elsewhere = settings.listen.iter().any(|address| !address.ip().to_canonical().is_loopback())
        || settings.behind_proxy.is_some();
    let mut door = judge(&config).map_err(|refusals| {
        let lines: Vec<String> = refusals.iter().map(ToString::to_string).collect();
        Failure::input(format!("the server does not open:\n       {}", lines.join("\n       ")))
            .hint("docs/security.md has the table of defaults and refusals")
    })?;
    if nowhere {
        door.listen.clear();
        if opens_elsewhere && settings.shell_queues.is_none() {
            // This process lets nobody in, but its work comes from the one that the same project file opens to others.
            door.shell = ShellPolicy::Queues(Vec::new());
        }
    }
    Ok(door)
}
