//! Fires to come, of all workflows.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Answer, unwired};
use crate::dto::NextFires;
use crate::extract::Query;
use crate::state::ApiState;

/// Query of the next fires.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct NextQuery {
    /// At most so many.
    #[param(minimum = 1, maximum = 500, default = 20)]
    pub n: Option<u32>,
    /// Of this workflow.
    pub workflow: Option<String>,
}

/// The next fires, earliest first.
#[utoipa::path(get, path = "/schedules/next", tag = "schedules", params(NextQuery),
    responses((status = 200, body = NextFires)))]
pub(crate) async fn next(State(_api): State<ApiState>, Query(_query): Query<NextQuery>) -> Answer<Json<NextFires>> {
    Err(unwired())
}
