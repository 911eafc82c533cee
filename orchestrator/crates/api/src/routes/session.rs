//! Who am I: login, logout, one-time links, one's own password.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Answer, unwired};
use crate::dto::{LoginRequest, Me, NewPassword, SetupRequest};
use crate::extract::{Body, Query};
use crate::state::ApiState;

/// Who is asking.
#[utoipa::path(get, path = "/me", tag = "session", responses((status = 200, body = Me)))]
pub(crate) async fn me(State(_api): State<ApiState>) -> Answer<Json<Me>> {
    Err(unwired())
}

/// Starts a session.
#[utoipa::path(post, path = "/auth/login", tag = "session", request_body = LoginRequest,
    responses((status = 204, description = "The cookie is set")))]
pub(crate) async fn login(State(_api): State<ApiState>, Body(_login): Body<LoginRequest>) -> Answer<Response> {
    Err(unwired())
}

/// Ends the session.
#[utoipa::path(post, path = "/auth/logout", tag = "session",
    responses((status = 204, description = "The session is over")))]
pub(crate) async fn logout(State(_api): State<ApiState>) -> Answer<Response> {
    Err(unwired())
}

/// Query of a one-time link.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkQuery {
    /// Its token.
    #[param(max_length = 200)]
    pub token: String,
}

/// Uses a login link: sets the cookie and leads to the first page.
#[utoipa::path(get, path = "/auth/link", tag = "session", params(LinkQuery),
    responses((status = 303, description = "The cookie is set; go to `/`")))]
pub(crate) async fn link(State(_api): State<ApiState>, Query(_query): Query<LinkQuery>) -> Answer<Response> {
    Err(unwired())
}

/// Uses a one-time link to make the first admin, or to set a password.
#[utoipa::path(post, path = "/auth/setup", tag = "session", request_body = SetupRequest,
    responses((status = 204, description = "The cookie is set")))]
pub(crate) async fn setup(State(_api): State<ApiState>, Body(_setup): Body<SetupRequest>) -> Answer<Response> {
    Err(unwired())
}

/// Changes one's own password; other sessions end.
#[utoipa::path(post, path = "/me/password", tag = "session", request_body = NewPassword,
    responses((status = 204, description = "It is changed")))]
pub(crate) async fn password(State(_api): State<ApiState>, Body(_new): Body<NewPassword>) -> Answer<StatusCode> {
    Err(unwired())
}
