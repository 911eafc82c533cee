//! Connections: where they come from, what they hold (never secrets), and whether they answer.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use updraft_auth::{ConnectionError, ConnectionView, FieldView, Source};
use utoipa::IntoParams;

use super::Answer;
use crate::auth::{Caller, actor};
use crate::dto::{
    Connection, ConnectionCheck, ConnectionField, ConnectionKind, ConnectionKinds, ConnectionList, ConnectionTest,
    ConnectionUse, FieldSource, NewConnection, Reasoned, Time,
};
use crate::extract::{Body, Path, Query, TEXT, check_text};
use crate::problem::{Problem, wrong};
use crate::state::ApiState;

/// Query of the list of connections.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConnectionsQuery {
    /// With the kinds and the schemas of their fields.
    pub forms: Option<bool>,
}

/// All connections.
#[utoipa::path(get, operation_id = "list_connections", path = "/connections", tag = "connections",
    params(ConnectionsQuery), responses((status = 200, body = ConnectionList)))]
pub(crate) async fn list(
    State(api): State<ApiState>,
    Query(query): Query<ConnectionsQuery>,
) -> Answer<Json<ConnectionList>> {
    // What another process wrote is seen here at the latest.
    api.connections().refresh().await?;
    let used = uses(&api).await?;
    Ok(Json(ConnectionList {
        items: api.connections().list().into_iter().map(|view| shown(view, &used)).collect(),
        kinds: api.connections().kinds().map(|kind| kind.name.clone()).collect(),
        forms: query.forms.unwrap_or(false).then(|| forms(&api)),
    }))
}

/// Which task of which workflow names which connection.
async fn uses(api: &ApiState) -> Answer<Vec<(String, ConnectionUse)>> {
    let mut uses = Vec::new();
    for published in api.scheduling().workflows().await? {
        if published.retired {
            continue;
        }
        // A version that this build cannot read uses what nobody can tell.
        let Ok(version) = api.versions().get(published.version_id).await else { continue };
        for task in &version.compiled.workflow.tasks {
            if let Some(conn) = &task.conn {
                let by = ConnectionUse { workflow: published.workflow.clone(), task: task.id.to_string() };
                uses.push((conn.clone(), by));
            }
        }
    }
    Ok(uses)
}

fn shown(view: ConnectionView, uses: &[(String, ConnectionUse)]) -> Connection {
    Connection {
        used_by: uses.iter().filter(|(name, _)| *name == view.name).map(|(_, by)| by.clone()).collect(),
        name: view.name,
        kind: view.kind,
        source: source(view.source),
        fields: view.fields.into_iter().map(field).collect(),
        updated_at: view.updated_at.map(Time),
        updated_by: view.updated_by,
        error: view.error,
    }
}

fn field(of: FieldView) -> ConnectionField {
    // The service leaves secrets out; this would hold even if it did not.
    let value = of.value.filter(|_| !of.secret);
    ConnectionField { name: of.name, source: source(of.source), secret: of.secret, value, set: of.set }
}

fn source(of: Source) -> FieldSource {
    match of {
        Source::Environment => FieldSource::Environment,
        Source::File => FieldSource::File,
        Source::Store => FieldSource::Store,
        Source::Default => FieldSource::Default,
        Source::Unset => FieldSource::Unset,
    }
}

/// Kinds of connections with the schema of their fields.
#[utoipa::path(get, path = "/connections/kinds", tag = "connections",
    responses((status = 200, body = ConnectionKinds)))]
pub(crate) async fn kinds(State(api): State<ApiState>) -> Json<ConnectionKinds> {
    Json(ConnectionKinds { items: forms(&api) })
}

fn forms(api: &ApiState) -> Vec<ConnectionKind> {
    let known = api.connections().kinds().map(|kind| ConnectionKind {
        kind: kind.name.clone(),
        summary: kind.summary.clone(),
        schema: kind.schema.clone(),
    });
    known.collect()
}

/// Writes a connection to the store; secrets are sealed.
#[utoipa::path(put, path = "/connections/{name}", tag = "connections",
    params(("name" = String, Path, description = "Its name")), request_body = NewConnection,
    responses((status = 200, body = Connection)))]
pub(crate) async fn put(
    State(api): State<ApiState>,
    Caller(who): Caller,
    Path(name): Path<String>,
    Body(new): Body<NewConnection>,
) -> Answer<Json<Connection>> {
    check_text("reason", new.reason.as_deref(), TEXT)?;
    let names: Vec<&String> = new.fields.keys().collect();
    let detail = json!({ "kind": new.kind, "fields": names });
    let view = api.connections().put(&name, &new.kind, &new.fields, &actor(&who), api.now()).await?;
    api.audit().record(&who, "connection.put", &name, new.reason.as_deref(), detail).await?;
    Ok(Json(shown(view, &uses(&api).await?)))
}

/// Removes a connection from the store.
#[utoipa::path(delete, path = "/connections/{name}", tag = "connections",
    params(("name" = String, Path, description = "Its name")), responses((status = 204, description = "It is gone")))]
pub(crate) async fn delete(
    State(api): State<ApiState>,
    Caller(who): Caller,
    Path(name): Path<String>,
) -> Answer<StatusCode> {
    api.connections().remove(&name).await?;
    api.audit().record(&who, "connection.delete", &name, None, json!({})).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tries whether the addresses of a connection answer.
#[utoipa::path(post, path = "/connections/{name}/test", tag = "connections",
    params(("name" = String, Path, description = "Its name")), request_body = Option<Reasoned>,
    responses((status = 200, body = ConnectionTest)))]
pub(crate) async fn test(
    State(api): State<ApiState>,
    Caller(who): Caller,
    Path(name): Path<String>,
    Body(body): Body<Reasoned>,
) -> Answer<Json<ConnectionTest>> {
    if !api.door().may_test_connections(&who) {
        let text = "testing connections is off on a server that others can reach";
        let problem = Problem::new(StatusCode::FORBIDDEN, "connection_test_off", text);
        return Err(problem.hint("set `connection_test: true` if that is wanted"));
    }
    check_text("reason", body.reason.as_deref(), TEXT)?;
    let found = api.connections().test(&name, api.door().exposed).await?;
    let detail = json!({ "ok": found.ok });
    api.audit().record(&who, "connection.test", &name, body.reason.as_deref(), detail).await?;
    let check = |one: updraft_auth::connections::ProbeCheck| ConnectionCheck {
        address: one.address,
        ok: one.ok,
        text: one.text,
    };
    Ok(Json(ConnectionTest { ok: found.ok, text: found.text, checks: found.checks.into_iter().map(check).collect() }))
}

impl From<ConnectionError> for Problem {
    fn from(error: ConnectionError) -> Self {
        let (code, text) = (error.code(), error.to_string());
        let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        match error {
            ConnectionError::Store(error) => Self::from(error),
            ConnectionError::Vault(error) => Self::internal(error),
            ConnectionError::BadFields { problems, .. } => {
                let one = |problem: updraft_auth::connections::FieldProblem| {
                    wrong(code, format!("/fields{}", problem.pointer), problem.message)
                };
                Self::new(status, code, text).errors(problems.into_iter().map(one).collect())
            }
            ConnectionError::BadName(_)
            | ConnectionError::Collides { .. }
            | ConnectionError::UnknownKind { .. }
            | ConnectionError::Raced(_)
            | ConnectionError::Missing(..) => Self::new(status, code, text),
        }
    }
}
