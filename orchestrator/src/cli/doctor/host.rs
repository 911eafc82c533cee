//! This host: memory, disk, and the ports that the pages listen on.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use sysinfo::{Disks, MemoryRefreshKind, RefreshKind, System};
use tokio::net::TcpListener;

use super::{Finding, Session, State, finding};

/// What Updraft, dbt and a batch take at one time.
const FREE_MEMORY_MIB: u64 = 1024;
const FREE_DISK_MIB: u64 = 1024;
/// Where `dev` and `serve` listen if nothing else is said.
const ADDRESS: ([u8; 4], u16) = ([127, 0, 0, 1], 8765);

pub(super) fn memory() -> Finding {
    let only = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let Ok(system) = System::new_with_specifics(only) else {
        return finding("memory", State::Warning, "the memory of this host is not known");
    };
    // A container has less than its host.
    let (mut total, mut free) = (system.total_memory(), system.available_memory());
    if let Some(limit) = system.cgroup_limits() {
        total = total.min(limit.total_memory);
        free = free.min(limit.free_memory);
    }
    judge_memory(total >> 20, free >> 20)
}

fn judge_memory(total: u64, free: u64) -> Finding {
    let text = format!("{free} MiB free of {total} MiB");
    if free >= FREE_MEMORY_MIB {
        return finding("memory", State::Ok, text);
    }
    finding("memory", State::Warning, text).with_remedy(
        "memory_low",
        "end what is not needed (make down), run the small profile, or lower server.slots; all servers together take 4 GiB",
    )
}

pub(super) fn disk(session: &Session) -> Finding {
    let dir = &session.project.dir;
    let unknown = || finding("disk", State::Warning, format!("the disk of {} is not known", dir.display()));
    let Ok(disks) = Disks::new_with_refreshed_list() else { return unknown() };
    let under = disks.iter().filter(|disk| dir.starts_with(disk.mount_point()));
    let nearest = under.max_by_key(|disk| disk.mount_point().as_os_str().len());
    nearest.map_or_else(unknown, |disk| judge_disk(disk.available_space() >> 20, &dir.display().to_string()))
}

fn judge_disk(free: u64, place: &str) -> Finding {
    if free >= FREE_DISK_MIB {
        return finding("disk", State::Ok, format!("{} GiB free under {place}", free >> 10));
    }
    finding("disk", State::Warning, format!("{free} MiB free under {place}")).with_remedy(
        "disk_low",
        "make room: 10 GiB are good for months; `updraft` keeps runs for server.retention.runs",
    )
}

/// Whether `dev` and `serve` could listen: only where a project says that there is something to serve.
pub(super) async fn ports(session: &Session, found: &mut Vec<Finding>) {
    if !session.project.has_file {
        return;
    }
    let mut addresses = session.project.server.listen.clone();
    if addresses.is_empty() {
        addresses.push(SocketAddr::from(ADDRESS));
    }
    for address in addresses {
        found.push(port(address).await);
    }
}

async fn port(address: SocketAddr) -> Finding {
    let what = format!("address {address}");
    let Err(error) = TcpListener::bind(address).await else {
        return finding(what, State::Ok, "free for `updraft dev` and `updraft serve`");
    };
    let elsewhere = "choose another: `--listen 127.0.0.1:PORT`, server.listen of updraft.yaml, or UPDRAFT_PORT in .env";
    match error.kind() {
        ErrorKind::AddrInUse if is_updraft(address).await => {
            finding(what, State::Ok, "a daemon of Updraft answers there")
        }
        ErrorKind::AddrInUse => finding(what, State::Error, "another program listens there").with_remedy(
            "port_taken",
            format!("end it (`ss -ltnp 'sport = :{}'` names it), or {elsewhere}", address.port()),
        ),
        _ => {
            finding(what, State::Error, format!("cannot listen there: {error}")).with_remedy("port_refused", elsewhere)
        }
    }
}

async fn is_updraft(address: SocketAddr) -> bool {
    let asked = async {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(2)).tls_certs_only([]).build().ok()?;
        client.get(format!("http://{address}/metrics")).send().await.ok()?.text().await.ok()
    };
    asked.await.is_some_and(|text| text.contains("updraft_build_info"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_memory_and_disk_are_named() {
        let low = judge_memory(2048, 700);
        assert_eq!((low.problem, low.state), (Some("memory_low"), State::Warning));
        assert_eq!(low.detail, "700 MiB free of 2048 MiB");
        assert_eq!(judge_memory(4096, 1024).problem, None);
        let full = judge_disk(100, "/p");
        assert_eq!((full.problem, full.detail.as_str()), (Some("disk_low"), "100 MiB free under /p"));
        assert_eq!(judge_disk(20_480, "/p").detail, "20 GiB free under /p");
    }
}
