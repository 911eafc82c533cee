//! How the parts of the installation are.

use std::time::Duration;

use updraft_model::time::Timestamp;
use updraft_store::scheduling::ScheduleTotals;
use updraft_store::{Peer, StoreError, WorkerState};

use crate::dto::{HealthItem, HealthName, HealthState};
use crate::state::ApiState;
use crate::words::{count, span};

/// A store that answers more slowly is worth a look.
const SLOW: Duration = Duration::from_millis(250);
/// A schedule that is due for longer was looked at by nobody.
const DUE: Duration = Duration::from_secs(30);

fn item(name: HealthName, state: HealthState, text: impl Into<String>) -> HealthItem {
    HealthItem { name, state, text: text.into() }
}

/// All parts.
pub(crate) async fn all(api: &ApiState, now: Timestamp) -> Vec<HealthItem> {
    let stats = api.history().stats().await;
    let peers = api.store().peers().await;
    let totals = api.scheduling().schedule_totals(now).await;
    vec![
        store(api.store().kind(), stats.map(|stats| Duration::from_micros(stats.latency_us))),
        scheduler(totals, now),
        workers(peers),
        catalog(api),
        item(HealthName::Api, HealthState::Ok, format!("up for {}", span(now.since(api.started_at())))),
    ]
}

fn store(kind: &str, latency: Result<Duration, StoreError>) -> HealthItem {
    match latency {
        Ok(latency) => {
            let state = if latency >= SLOW { HealthState::Warn } else { HealthState::Ok };
            let millis = latency.as_micros().div_ceil(100);
            item(HealthName::Store, state, format!("{kind} answers in {}.{} ms", millis / 10, millis % 10))
        }
        Err(_) => item(HealthName::Store, HealthState::Down, format!("{kind} does not answer")),
    }
}

fn scheduler(totals: Result<ScheduleTotals, StoreError>, now: Timestamp) -> HealthItem {
    let name = HealthName::Scheduler;
    match totals {
        Err(_) => item(name, HealthState::Down, "schedules cannot be read"),
        Ok(totals) if totals.next.is_some_and(|next| now.since(next) >= DUE) && totals.due > 0 => {
            let late = totals.next.map(|next| span(now.since(next))).unwrap_or_default();
            item(name, HealthState::Down, format!("{} due, the first for {late}", count(totals.due, "schedule")))
        }
        Ok(totals) if totals.errors > 0 => {
            item(name, HealthState::Warn, format!("{} cannot be computed", count(totals.errors, "schedule")))
        }
        Ok(totals) => match totals.next {
            Some(next) if next > now => {
                let text = format!("{}, the next in {}", count(totals.active, "schedule"), span(next.since(now)));
                item(name, HealthState::Ok, text)
            }
            Some(_) | None => item(name, HealthState::Ok, count(totals.active, "schedule")),
        },
    }
}

fn workers(peers: Result<Vec<Peer>, StoreError>) -> HealthItem {
    let name = HealthName::Workers;
    let Ok(peers) = peers else { return item(name, HealthState::Down, "workers cannot be read") };
    let of = |state: WorkerState| peers.iter().filter(move |peer| peer.state == state);
    let active = of(WorkerState::Active).count() as u64;
    let slots: u64 = of(WorkerState::Active).map(|peer| u64::from(peer.info.slots)).sum();
    let (suspect, dead) = (of(WorkerState::Suspect).count() as u64, of(WorkerState::Dead).count() as u64);
    let text = format!("{} with {}", count(active, "worker"), count(slots, "slot"));
    if active == 0 || slots == 0 {
        return item(name, HealthState::Down, "no worker takes work");
    }
    match (suspect, dead) {
        (0, 0) => item(name, HealthState::Ok, text),
        (0, dead) => item(name, HealthState::Warn, format!("{text}; {dead} dead with attempts not yet taken over")),
        (suspect, _) => item(name, HealthState::Warn, format!("{text}; no sign of life of {suspect}")),
    }
}

fn catalog(api: &ApiState) -> HealthItem {
    let name = HealthName::Catalog;
    let Some(catalog) = api.catalog() else {
        return item(name, HealthState::Ok, "this process reads no workflow files");
    };
    let view = catalog.view();
    if let Some(reason) = view.unreadable.first() {
        return item(name, HealthState::Down, reason.clone());
    }
    let text = format!("{} in {}", count(view.workflows as u64, "workflow"), count(view.files as u64, "file"));
    match (view.broken.len() as u64, view.conflicts.len() as u64) {
        (0, 0) => item(name, HealthState::Ok, text),
        (0, conflicts) => {
            item(name, HealthState::Warn, format!("{text}; {} with another process", count(conflicts, "conflict")))
        }
        (broken, _) => item(name, HealthState::Warn, format!("{text}; {} with errors", count(broken, "file"))),
    }
}
