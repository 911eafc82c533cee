//! The first page.

use axum::Json;
use axum::extract::State;

use super::{Answer, unwired};
use crate::dto::Home;
use crate::state::ApiState;

/// What failed, what is late, what runs and what waits: all that the first page shows.
#[utoipa::path(get, path = "/home", tag = "home", responses((status = 200, body = Home)))]
pub(crate) async fn home(State(_api): State<ApiState>) -> Answer<Json<Home>> {
    Err(unwired())
}
