//! The program's own log: to standard error, off unless `UPDRAFT_LOG` asks for it (`info`, `updraft_engine=debug`, …).

use tracing_subscriber::EnvFilter;

/// Starts it. Task logs are data and have nothing to do with this.
///
/// # Errors
/// `UPDRAFT_LOG` does not read.
pub fn start(filter: Option<&str>) -> Result<(), String> {
    let filter = filter.unwrap_or("warn");
    let filter =
        EnvFilter::try_new(filter).map_err(|error| format!("UPDRAFT_LOG=`{filter}` does not read: {error}"))?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(true).init();
    Ok(())
}
