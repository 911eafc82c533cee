//! The installation: store, workers, queues, catalog; and what this build knows.

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use updraft_model::schedule::fires::TZDB;
use updraft_model::time::Timestamp;
use updraft_store::schema::MIGRATIONS;

use super::Answer;
use crate::dto::{
    CatalogStatus, Conflict, ConflictSource, Effects, QueueStatus, ScheduleStatus, Status, StoreStatus, TaskType,
    TaskTypes, Time, WorkerStatus,
};
use crate::metrics::worker_state;
use crate::state::ApiState;
use crate::{read, workflows};

/// How the installation is.
#[utoipa::path(get, path = "/status", tag = "status", responses((status = 200, body = Status)))]
pub(crate) async fn status(State(api): State<ApiState>) -> Answer<Json<Status>> {
    let now = api.now();
    let (store, peers, queues, totals, broken) = futures::join!(
        store(&api),
        api.store().peers(),
        api.history().queues(),
        api.scheduling().schedule_totals(now),
        workflows::broken_files(&api),
    );
    let totals = totals?;
    let queue = |depth: updraft_store::history::QueueDepth| QueueStatus {
        oldest_seconds: depth.oldest.map(|since| read::seconds(since, now)),
        queue: depth.queue,
        ready: u64::from(depth.ready),
        executing: u64::from(depth.executing),
    };
    let mut catalog = catalog(&api, now);
    catalog.broken = broken?;
    Ok(Json(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        build: api.config().build.clone(),
        started_at: Time(api.started_at()),
        now: Time(now),
        store,
        tzdb: TZDB.to_owned(),
        workers: peers?.iter().map(|peer| worker(peer, now)).collect(),
        queues: queues?.into_iter().map(queue).collect(),
        schedules: ScheduleStatus {
            total: totals.active,
            due: totals.due,
            next: totals.next.map(Time),
            skipped_fires: totals.skipped,
        },
        catalog,
        upkeep: (api.config().upkeep)(),
    }))
}

async fn store(api: &ApiState) -> StoreStatus {
    let kind = api.store().kind().to_owned();
    let schema = MIGRATIONS.last().map_or(0, |(number, _)| *number);
    match api.history().stats().await {
        Ok(stats) => {
            let durable = api.store().durable().await.ok();
            let text = match &durable {
                Some(Err(setting)) => format!("commits may be lost at a power cut: {setting}"),
                Some(Ok(())) | None => "good".to_owned(),
            };
            StoreStatus {
                kind,
                ok: true,
                latency_ms: Some(f64::from(u32::try_from(stats.latency_us).unwrap_or(u32::MAX)) / 1000.0),
                schema,
                size_bytes: Some(stats.bytes),
                durable: durable.map(|durable| durable.is_ok()),
                text,
            }
        }
        Err(error) => {
            tracing::warn!(%error, "the store does not answer");
            let text = "it does not answer".to_owned();
            StoreStatus { kind, ok: false, latency_ms: None, schema, size_bytes: None, durable: None, text }
        }
    }
}

fn worker(peer: &updraft_store::Peer, now: Timestamp) -> WorkerStatus {
    WorkerStatus {
        no: peer.worker_no.0,
        name: peer.info.name.clone(),
        host: peer.info.host.clone(),
        pid: peer.info.pid,
        build: peer.info.build.clone(),
        state: worker_state(peer.state).to_owned(),
        slots: peer.info.slots,
        busy: peer.busy,
        queues: peer.info.queues.clone(),
        lease_until: Time(peer.lease_until),
        last_seen_seconds: Some(read::seconds(peer.last_seen(), now)),
        evidence: peer.alive,
    }
}

fn catalog(api: &ApiState, now: Timestamp) -> CatalogStatus {
    let Some(catalog) = api.catalog() else { return CatalogStatus::default() };
    let view = catalog.view();
    let conflict = |one: &updraft_catalog::Conflict| Conflict {
        workflow: one.workflow.clone(),
        sources: vec![
            source(&one.path, &one.current, "another process, later", now),
            source(&one.path, &one.here, "this process", now),
        ],
    };
    CatalogStatus {
        workflows: view.workflows as u64,
        files: view.files as u64,
        broken: Vec::new(),
        conflicts: view.conflicts.iter().map(conflict).collect(),
        loaded_at: view.looked_at.map(Time),
    }
}

fn source(path: &str, sha256: &str, by: &str, at: Timestamp) -> ConflictSource {
    ConflictSource { path: path.to_owned(), sha256: sha256.to_owned(), by: by.to_owned(), at: Time(at) }
}

/// Task types that this build knows.
#[utoipa::path(get, path = "/task-types", tag = "status", responses((status = 200, body = TaskTypes)))]
pub(crate) async fn task_types(State(api): State<ApiState>) -> Json<TaskTypes> {
    let known = api.config().registry.tasks().map(|task| TaskType {
        task_type: task.name.to_owned(),
        summary: task.summary.to_owned(),
        effects: match task.effects {
            updraft_task::Effects::ExactlyOnce => Effects::ExactlyOnce,
            updraft_task::Effects::Idempotent => Effects::Idempotent,
            updraft_task::Effects::AtLeastOnce => Effects::AtLeastOnce,
        },
        params_schema: task.params.clone(),
        output_schema: task.output.clone(),
    });
    Json(TaskTypes { items: known.collect() })
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "status", responses((status = 200, body = Object)))]
pub(crate) async fn openapi(State(api): State<ApiState>) -> Response {
    ([(CONTENT_TYPE, "application/json")], api.openapi_text()).into_response()
}
