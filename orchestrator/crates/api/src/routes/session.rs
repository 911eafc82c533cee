//! Who am I: login, logout, one-time links, one's own password.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{HeaderValue, LOCATION};
use axum::response::{IntoResponse as _, Response};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use updraft_auth::authenticator::SetupLink;
use utoipa::IntoParams;

use super::Answer;
use crate::auth::{Caller, Client, begun, with_cookie};
use crate::dto::{LoginRequest, Me, NewPassword, SetupRequest};
use crate::extract::{Body, Query};
use crate::read;
use crate::state::ApiState;

/// Who is asking.
#[utoipa::path(get, path = "/me", tag = "session", responses((status = 200, body = Me)))]
pub(crate) async fn me(Caller(who): Caller) -> Json<Me> {
    Json(read::me(who))
}

/// Starts a session.
#[utoipa::path(post, path = "/auth/login", tag = "session", request_body = LoginRequest,
    responses((status = 204, description = "The cookie is set")))]
pub(crate) async fn login(
    State(api): State<ApiState>,
    client: Client,
    Body(login): Body<LoginRequest>,
) -> Answer<Response> {
    let auth = api.authenticator();
    let session = auth.login(&login.name, login.password, &client.address, &client.user_agent).await?;
    Ok(begun(&session, &client, api.now()))
}

/// Ends the session.
#[utoipa::path(post, path = "/auth/logout", tag = "session",
    responses((status = 204, description = "The session is over")))]
pub(crate) async fn logout(State(api): State<ApiState>, client: Client, Caller(who): Caller) -> Answer<Response> {
    api.authenticator().logout(&who).await?;
    Ok(with_cookie(StatusCode::NO_CONTENT.into_response(), "", 0, &client))
}

/// Query of a one-time link.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkQuery {
    /// Its token.
    #[param(value_type = String, max_length = 200)]
    pub token: SecretString,
}

/// Uses a login link: sets the cookie and leads to the first page.
#[utoipa::path(get, path = "/auth/link", tag = "session", params(LinkQuery),
    responses((status = 303, description = "The cookie is set; go to `/`")))]
pub(crate) async fn link(
    State(api): State<ApiState>,
    client: Client,
    Query(query): Query<LinkQuery>,
) -> Answer<Response> {
    follow(&api, &client, query.token.expose_secret()).await
}

/// `GET /login-link`: the same link outside the API, as it is printed.
pub(crate) async fn login_link(
    State(api): State<ApiState>,
    client: Client,
    Query(query): Query<LinkQuery>,
) -> Answer<Response> {
    follow(&api, &client, query.token.expose_secret()).await
}

/// A login link logs in; one that lets choose a name or a password leads to the page that asks for them.
async fn follow(api: &ApiState, client: &Client, token: &str) -> Answer<Response> {
    let auth = api.authenticator();
    let place = match auth.look_at_link(token).await {
        Ok(SetupLink::FirstAdmin) => format!("/setup?token={token}"),
        Ok(SetupLink::SetPassword { user }) => format!("/setup?token={token}&name={user}"),
        // What is unknown is refused, and counted, where it would be used.
        Ok(SetupLink::DevLogin) | Err(_) => {
            let session = auth.dev_login(token, &client.address, &client.user_agent).await?;
            return Ok(led_to("/", begun(&session, client, api.now())));
        }
    };
    Ok(led_to(&place, StatusCode::SEE_OTHER.into_response()))
}

fn led_to(place: &str, mut response: Response) -> Response {
    *response.status_mut() = StatusCode::SEE_OTHER;
    // A token is letters and digits; anything else would not have been found.
    if let Ok(place) = HeaderValue::from_str(place) {
        response.headers_mut().insert(LOCATION, place);
    }
    response
}

/// Uses a one-time link to make the first admin, or to set a password.
#[utoipa::path(post, path = "/auth/setup", tag = "session", request_body = SetupRequest,
    responses((status = 204, description = "The cookie is set")))]
pub(crate) async fn setup(
    State(api): State<ApiState>,
    client: Client,
    Body(setup): Body<SetupRequest>,
) -> Answer<Response> {
    let auth = api.authenticator();
    let token = setup.token.expose_secret();
    let name = setup.name.unwrap_or_default();
    let session = auth.setup(token, &name, setup.password, &client.address, &client.user_agent).await?;
    Ok(begun(&session, &client, api.now()))
}

/// Changes one's own password; other sessions end.
#[utoipa::path(post, path = "/me/password", tag = "session", request_body = NewPassword,
    responses((status = 204, description = "It is changed")))]
pub(crate) async fn password(
    State(api): State<ApiState>,
    Caller(who): Caller,
    Body(new): Body<NewPassword>,
) -> Answer<StatusCode> {
    api.authenticator().change_password(&who, new.current, new.new).await?;
    Ok(StatusCode::NO_CONTENT)
}
