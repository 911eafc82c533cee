//! Users, tokens and the audit log.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::Value;
use updraft_auth::{Permission, Principal, TokenView, UserView};
use updraft_store::accounts::{AuditEntry as Entry, AuditFilter};
use utoipa::IntoParams;

use super::Answer;
use super::workflows::PageQuery;
use crate::auth::Caller;
use crate::dto::{
    Accounts, AuditEntry, AuditPage, AuditVerdict, NewToken, NewUser, Role, Time, Token, TokenMade, TokenPage, User,
    UserChange, UserMade, UserPage,
};
use crate::extract::{Body, Path, Query, TEXT, check_text};
use crate::page;
use crate::problem::{Problem, wrong};
use crate::state::ApiState;

/// One row more than the page shows whether there is another one.
fn cut<T>(mut rows: Vec<T>, limit: u32, place: impl Fn(&T) -> String) -> (Vec<T>, Option<String>) {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|last| page::seal(&place(last)));
    (rows, next)
}

fn user(of: UserView) -> User {
    User {
        name: of.name,
        role: of.role.into(),
        created_at: Time(of.created_at),
        last_login_at: of.last_login_at.map(Time),
        disabled: of.disabled,
    }
}

fn token(of: TokenView) -> Token {
    Token {
        id: of.id,
        name: of.name,
        role: of.role.into(),
        scopes: of.scopes,
        created_at: Time(of.created_at),
        expires_at: of.expires_at.map(Time),
        last_used_at: of.last_used_at.map(Time),
        created_by: of.created_by,
        prefix: of.prefix,
    }
}

/// Users.
#[utoipa::path(get, path = "/users", tag = "accounts", params(PageQuery), responses((status = 200, body = UserPage)))]
pub(crate) async fn users(
    State(api): State<ApiState>,
    Caller(who): Caller,
    Query(query): Query<PageQuery>,
) -> Answer<Json<UserPage>> {
    let limit = page::limit(query.limit)?;
    let after = page::open(query.cursor.as_deref(), |name| Some(name.to_owned()))?;
    Ok(Json(user_page(&api, &who, after.as_deref(), limit).await?))
}

async fn user_page(api: &ApiState, who: &Principal, after: Option<&str>, limit: u32) -> Answer<UserPage> {
    let found = api.authenticator().users(who, after, limit + 1).await?;
    let (items, next) = cut(found.into_iter().map(user).collect(), limit, |user: &User| user.name.clone());
    Ok(UserPage { items, next })
}

/// Makes a user.
#[utoipa::path(post, path = "/users", tag = "accounts", request_body = NewUser,
    responses((status = 201, body = UserMade)))]
pub(crate) async fn add_user(
    State(api): State<ApiState>,
    Caller(who): Caller,
    Body(new): Body<NewUser>,
) -> Answer<(StatusCode, Json<UserMade>)> {
    check_text("reason", new.reason.as_deref(), TEXT)?;
    let wanted = updraft_auth::NewUser { name: new.name, role: new.role.into(), password: new.password };
    let (made, link) = api.authenticator().add_user(&who, &wanted, new.reason.as_deref()).await?;
    let base = api.door().public_url.clone().unwrap_or_default();
    let link = link.map(|link| format!("{base}/setup?token={}&name={}", link.token.expose_secret(), made.name));
    Ok((StatusCode::CREATED, Json(UserMade { user: user(made), link })))
}

/// Changes a user.
#[utoipa::path(patch, path = "/users/{name}", tag = "accounts", params(("name" = String, Path, description = "Name")),
    request_body = UserChange, responses((status = 200, body = User)))]
pub(crate) async fn change_user(
    State(api): State<ApiState>,
    Caller(who): Caller,
    Path(name): Path<String>,
    Body(change): Body<UserChange>,
) -> Answer<Json<User>> {
    check_text("reason", change.reason.as_deref(), TEXT)?;
    let patch = updraft_auth::UserPatch {
        role: change.role.map(Into::into),
        disabled: change.disabled,
        password: change.password,
    };
    Ok(Json(user(api.authenticator().change_user(&who, &name, &patch, change.reason.as_deref()).await?)))
}

/// Removes a user with their sessions and tokens.
#[utoipa::path(delete, path = "/users/{name}", tag = "accounts", params(("name" = String, Path, description = "Name")),
    responses((status = 204, description = "They are gone")))]
pub(crate) async fn remove_user(
    State(api): State<ApiState>,
    Caller(who): Caller,
    Path(name): Path<String>,
) -> Answer<StatusCode> {
    api.authenticator().remove_user(&who, &name, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tokens: one's own, of an admin all.
#[utoipa::path(get, path = "/tokens", tag = "accounts", params(PageQuery), responses((status = 200, body = TokenPage)))]
pub(crate) async fn tokens(
    State(api): State<ApiState>,
    Caller(who): Caller,
    Query(query): Query<PageQuery>,
) -> Answer<Json<TokenPage>> {
    let limit = page::limit(query.limit)?;
    let after = page::open(query.cursor.as_deref(), |id| Some(id.to_owned()))?;
    Ok(Json(token_page(&api, &who, after.as_deref(), limit).await?))
}

async fn token_page(api: &ApiState, who: &Principal, after: Option<&str>, limit: u32) -> Answer<TokenPage> {
    let found = api.authenticator().tokens(who, after, limit + 1).await?;
    let (items, next) = cut(found.into_iter().map(token).collect(), limit, |token: &Token| token.id.clone());
    Ok(TokenPage { items, next })
}

/// Everything that the page of users and tokens shows: the first 500 of each.
#[utoipa::path(get, path = "/accounts", tag = "accounts", responses((status = 200, body = Accounts)))]
pub(crate) async fn accounts(State(api): State<ApiState>, Caller(who): Caller) -> Answer<Json<Accounts>> {
    let users = if who.allows(Permission::Users) { Some(user_page(&api, &who, None, page::MOST).await?) } else { None };
    Ok(Json(Accounts { users, tokens: token_page(&api, &who, None, page::MOST).await? }))
}

/// Longest name of a token, in characters.
const TOKEN_NAME: usize = 100;

/// Makes a token; its secret is shown this once.
#[utoipa::path(post, path = "/tokens", tag = "accounts", request_body = NewToken,
    responses((status = 201, body = TokenMade)))]
pub(crate) async fn add_token(
    State(api): State<ApiState>,
    Caller(who): Caller,
    Body(new): Body<NewToken>,
) -> Answer<(StatusCode, Json<TokenMade>)> {
    check_text("name", Some(&new.name), TOKEN_NAME)?;
    check_text("reason", new.reason.as_deref(), TEXT)?;
    let (mut scopes, mut unknown) = (Vec::new(), Vec::new());
    for (at, scope) in new.scopes.unwrap_or_default().iter().enumerate() {
        match Permission::parse(scope) {
            Some(known) => scopes.push(known),
            None => unknown.push(wrong("bad_scope", format!("/scopes/{at}"), format!("there is no scope `{scope}`"))),
        }
    }
    if !unknown.is_empty() {
        let known: Vec<_> = Permission::ALL.iter().map(|one| one.name()).collect();
        let problem = Problem::unfit("bad_scope", "some scopes do not exist").errors(unknown);
        return Err(problem.hint(format!("scopes are {}", known.join(", "))));
    }
    let wanted = updraft_auth::NewToken {
        name: new.name,
        role: new.role.into(),
        scopes,
        expires_in: new.expires_in_seconds.map(std::time::Duration::from_secs),
    };
    let (made, secret) = api.authenticator().create_token(&who, &wanted, new.reason.as_deref()).await?;
    let body = TokenMade { made: token(made), token: secret.expose_secret().to_owned() };
    Ok((StatusCode::CREATED, Json(body)))
}

/// Ends a token.
#[utoipa::path(delete, path = "/tokens/{id}", tag = "accounts", params(("id" = String, Path, description = "Its id")),
    responses((status = 204, description = "It counts no more")))]
pub(crate) async fn remove_token(
    State(api): State<ApiState>,
    Caller(who): Caller,
    Path(id): Path<String>,
) -> Answer<StatusCode> {
    api.authenticator().revoke_token(&who, &id, None).await?;
    Ok(StatusCode::NO_CONTENT)
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
pub(crate) async fn audit(State(api): State<ApiState>, Query(query): Query<AuditQuery>) -> Answer<Json<AuditPage>> {
    let limit = page::limit(query.limit)?;
    let filter = AuditFilter {
        actor: query.actor,
        action: query.action,
        subject: query.subject,
        since: query.since.map(|at| at.0),
        until: query.until.map(|at| at.0),
        before: page::open(query.cursor.as_deref(), |seq| seq.parse().ok())?,
        limit: limit + 1,
    };
    let found = api.accounts().audit(&filter).await?;
    let (items, next) = cut(found.into_iter().map(entry).collect(), limit, |entry: &AuditEntry| entry.seq.to_string());
    Ok(Json(AuditPage { items, next }))
}

fn entry(of: Entry) -> AuditEntry {
    AuditEntry {
        seq: of.seq,
        at: Time(of.at),
        actor: of.actor,
        role: of.role.as_deref().and_then(Role::parse),
        from: of.from,
        action: of.action,
        subject: of.subject,
        reason: of.reason,
        detail: serde_json::from_str(&of.detail).unwrap_or(Value::Null),
        hash: of.hash,
    }
}

/// Looks whether the audit log is whole.
#[utoipa::path(get, path = "/audit/verify", tag = "accounts", responses((status = 200, body = AuditVerdict)))]
pub(crate) async fn verify(State(api): State<ApiState>) -> Answer<Json<AuditVerdict>> {
    let found = updraft_store::accounts::verify(api.accounts()).await?;
    Ok(Json(AuditVerdict { ok: found.first_bad.is_none(), entries: found.entries, first_bad: found.first_bad }))
}
