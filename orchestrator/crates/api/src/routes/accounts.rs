//! Users, tokens and the audit log.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;

use super::workflows::PageQuery;
use super::{Answer, unwired};
use crate::dto::{
    AuditPage, AuditVerdict, NewToken, NewUser, Time, TokenMade, TokenPage, User, UserChange, UserMade, UserPage,
};
use crate::extract::{Body, Path, Query};
use crate::state::ApiState;

/// Users.
#[utoipa::path(get, path = "/users", tag = "accounts", params(PageQuery), responses((status = 200, body = UserPage)))]
pub(crate) async fn users(State(_api): State<ApiState>, Query(_query): Query<PageQuery>) -> Answer<Json<UserPage>> {
    Err(unwired())
}

/// Makes a user.
#[utoipa::path(post, path = "/users", tag = "accounts", request_body = NewUser,
    responses((status = 201, body = UserMade)))]
pub(crate) async fn add_user(
    State(_api): State<ApiState>,
    Body(_new): Body<NewUser>,
) -> Answer<(StatusCode, Json<UserMade>)> {
    Err(unwired())
}

/// Changes a user.
#[utoipa::path(patch, path = "/users/{name}", tag = "accounts", params(("name" = String, Path, description = "Name")),
    request_body = UserChange, responses((status = 200, body = User)))]
pub(crate) async fn change_user(
    State(_api): State<ApiState>,
    Path(_name): Path<String>,
    Body(_change): Body<UserChange>,
) -> Answer<Json<User>> {
    Err(unwired())
}

/// Removes a user with their sessions and tokens.
#[utoipa::path(delete, path = "/users/{name}", tag = "accounts", params(("name" = String, Path, description = "Name")),
    responses((status = 204, description = "They are gone")))]
pub(crate) async fn remove_user(State(_api): State<ApiState>, Path(_name): Path<String>) -> Answer<StatusCode> {
    Err(unwired())
}

/// Tokens: one's own, of an admin all.
#[utoipa::path(get, path = "/tokens", tag = "accounts", params(PageQuery), responses((status = 200, body = TokenPage)))]
pub(crate) async fn tokens(State(_api): State<ApiState>, Query(_query): Query<PageQuery>) -> Answer<Json<TokenPage>> {
    Err(unwired())
}

/// Makes a token; its secret is shown this once.
#[utoipa::path(post, path = "/tokens", tag = "accounts", request_body = NewToken,
    responses((status = 201, body = TokenMade)))]
pub(crate) async fn add_token(
    State(_api): State<ApiState>,
    Body(_new): Body<NewToken>,
) -> Answer<(StatusCode, Json<TokenMade>)> {
    Err(unwired())
}

/// Ends a token.
#[utoipa::path(delete, path = "/tokens/{id}", tag = "accounts", params(("id" = String, Path, description = "Its id")),
    responses((status = 204, description = "It counts no more")))]
pub(crate) async fn remove_token(State(_api): State<ApiState>, Path(_id): Path<String>) -> Answer<StatusCode> {
    Err(unwired())
}

/// Query of the audit log.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditQuery {
    /// By this actor.
    pub actor: Option<String>,
    /// With this action.
    pub action: Option<String>,
    /// On this subject.
    pub subject: Option<String>,
    /// At or after.
    #[param(value_type = Option<Time>)]
    pub since: Option<Time>,
    /// Before.
    #[param(value_type = Option<Time>)]
    pub until: Option<Time>,
    /// At most so many.
    #[param(minimum = 1, maximum = 500, default = 50)]
    pub limit: Option<u32>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

/// The audit log, newest first.
#[utoipa::path(get, path = "/audit", tag = "accounts", params(AuditQuery), responses((status = 200, body = AuditPage)))]
pub(crate) async fn audit(State(_api): State<ApiState>, Query(_query): Query<AuditQuery>) -> Answer<Json<AuditPage>> {
    Err(unwired())
}

/// Looks whether the audit log is whole.
#[utoipa::path(get, path = "/audit/verify", tag = "accounts", responses((status = 200, body = AuditVerdict)))]
pub(crate) async fn verify(State(_api): State<ApiState>) -> Answer<Json<AuditVerdict>> {
    Err(unwired())
}
