//! The installation: store, workers, queues, catalog; and what this build knows.

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::{Answer, unwired};
use crate::dto::{Status, TaskTypes};
use crate::state::ApiState;

/// How the installation is.
#[utoipa::path(get, path = "/status", tag = "status", responses((status = 200, body = Status)))]
pub(crate) async fn status(State(_api): State<ApiState>) -> Answer<Json<Status>> {
    Err(unwired())
}

/// Task types that this build knows.
#[utoipa::path(get, path = "/task-types", tag = "status", responses((status = 200, body = TaskTypes)))]
pub(crate) async fn task_types(State(_api): State<ApiState>) -> Answer<Json<TaskTypes>> {
    Err(unwired())
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "status", responses((status = 200, body = Object)))]
pub(crate) async fn openapi(State(api): State<ApiState>) -> Response {
    ([(CONTENT_TYPE, "application/json")], api.openapi_text()).into_response()
}
