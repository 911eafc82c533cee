//! Fires to come, of all workflows.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Answer;
use crate::dto::NextFires;
use crate::extract::Query;
use crate::state::ApiState;
use crate::{page, schedules};

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
pub(crate) async fn next(State(api): State<ApiState>, Query(query): Query<NextQuery>) -> Answer<Json<NextFires>> {
    let n = page::within("n", query.n, 20, page::MOST)?;
    Ok(Json(NextFires { items: schedules::next(&api, query.workflow.as_deref(), n, usize::MAX).await? }))
}
