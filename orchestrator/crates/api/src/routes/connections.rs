//! Connections: where they come from, what they hold (never secrets), and whether they answer.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::{Answer, unwired};
use crate::dto::{Connection, ConnectionKinds, ConnectionList, ConnectionTest, NewConnection, Reasoned};
use crate::extract::{Body, Path};
use crate::state::ApiState;

/// All connections.
#[utoipa::path(get, path = "/connections", tag = "connections", responses((status = 200, body = ConnectionList)))]
pub(crate) async fn list(State(_api): State<ApiState>) -> Answer<Json<ConnectionList>> {
    Err(unwired())
}

/// Kinds of connections with the schema of their fields.
#[utoipa::path(get, path = "/connections/kinds", tag = "connections",
    responses((status = 200, body = ConnectionKinds)))]
pub(crate) async fn kinds(State(_api): State<ApiState>) -> Answer<Json<ConnectionKinds>> {
    Err(unwired())
}

/// Writes a connection to the store; secrets are sealed.
#[utoipa::path(put, path = "/connections/{name}", tag = "connections",
    params(("name" = String, Path, description = "Its name")), request_body = NewConnection,
    responses((status = 200, body = Connection)))]
pub(crate) async fn put(
    State(_api): State<ApiState>,
    Path(_name): Path<String>,
    Body(_new): Body<NewConnection>,
) -> Answer<Json<Connection>> {
    Err(unwired())
}

/// Removes a connection from the store.
#[utoipa::path(delete, path = "/connections/{name}", tag = "connections",
    params(("name" = String, Path, description = "Its name")), responses((status = 204, description = "It is gone")))]
pub(crate) async fn delete(State(_api): State<ApiState>, Path(_name): Path<String>) -> Answer<StatusCode> {
    Err(unwired())
}

/// Tries whether the addresses of a connection answer.
#[utoipa::path(post, path = "/connections/{name}/test", tag = "connections",
    params(("name" = String, Path, description = "Its name")), request_body = Reasoned,
    responses((status = 200, body = ConnectionTest)))]
pub(crate) async fn test(
    State(_api): State<ApiState>,
    Path(_name): Path<String>,
    Body(_body): Body<Reasoned>,
) -> Answer<Json<ConnectionTest>> {
    Err(unwired())
}
