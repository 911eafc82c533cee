//! The table of routes: one line each, with what it takes to be let in. The `OpenAPI` document carries that line as
//! `x-permission` and `x-minimum-role`, and a test walks over all of them.
#![expect(unused_qualifications, reason = "utoipa's macro repeats the types of arguments with their path")]

mod accounts;
mod connections;
mod control;
mod home;
mod logs;
mod runs;
mod schedules;
mod session;
mod status;
mod tasks;
mod workflow_view;
mod workflows;

pub(crate) use session::login_link;

use axum::middleware::from_fn_with_state;
use updraft_model::access::Permission;
use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter, UtoipaMethodRouterExt as _};
use utoipa_axum::routes;

use crate::auth;
use crate::problem::Problem;
use crate::state::ApiState;

/// What a handler answers.
pub(crate) type Answer<T> = Result<T, Problem>;

/// What it takes to be let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing.
    Public,
    /// To be known, whatever one may do.
    Known,
    /// This permission.
    Needs(Permission),
}

/// Every route under `/api/v1`.
pub(crate) fn table() -> OpenApiRouter<ApiState> {
    use Access::{Known, Needs, Public};
    use Permission as P;
    let routes: Vec<(Access, UtoipaMethodRouter<ApiState>)> = vec![
        (Public, routes!(session::login)),
        (Public, routes!(session::link)),
        (Public, routes!(session::setup)),
        (Known, routes!(session::logout)),
        (Known, routes!(session::me)),
        (Known, routes!(session::password)),
        (Known, routes!(status::openapi)),
        (Needs(P::Read), routes!(home::home)),
        (Needs(P::Read), routes!(workflows::list)),
        (Needs(P::Read), routes!(workflows::show)),
        (Needs(P::Read), routes!(workflow_view::view)),
        (Needs(P::Read), routes!(workflows::grid)),
        (Needs(P::Read), routes!(workflows::graph)),
        (Needs(P::Read), routes!(workflows::durations)),
        (Needs(P::Read), routes!(workflows::calendar)),
        (Needs(P::Read), routes!(workflows::schedule)),
        (Needs(P::Read), routes!(workflows::versions)),
        (Needs(P::Read), routes!(workflows::version)),
        (Needs(P::Run), routes!(control::trigger)),
        (Needs(P::Control), routes!(control::pause)),
        (Needs(P::Control), routes!(control::unpause)),
        (Needs(P::Read), routes!(runs::list)),
        (Needs(P::Read), routes!(runs::show)),
        (Needs(P::Control), routes!(control::note)),
        (Needs(P::Read), routes!(runs::view)),
        (Needs(P::Read), routes!(runs::tasks)),
        (Needs(P::ReadLogs), routes!(tasks::task)),
        (Needs(P::ReadLogs), routes!(logs::log)),
        (Needs(P::Read), routes!(runs::events)),
        (Needs(P::Read), routes!(runs::hints)),
        (Needs(P::Control), routes!(control::cancel)),
        (Needs(P::Control), routes!(control::retry)),
        (Needs(P::Control), routes!(control::mark)),
        (Needs(P::Control), routes!(control::repair)),
        (Needs(P::Read), routes!(schedules::next)),
        (Needs(P::Read), routes!(connections::list)),
        (Needs(P::Read), routes!(connections::kinds)),
        (Needs(P::Connections), routes!(connections::put)),
        (Needs(P::Connections), routes!(connections::delete)),
        (Needs(P::TestConnections), routes!(connections::test)),
        (Needs(P::OwnTokens), routes!(accounts::accounts)),
        (Needs(P::Users), routes!(accounts::users)),
        (Needs(P::Users), routes!(accounts::add_user)),
        (Needs(P::Users), routes!(accounts::change_user)),
        (Needs(P::Users), routes!(accounts::remove_user)),
        (Needs(P::OwnTokens), routes!(accounts::tokens)),
        (Needs(P::OwnTokens), routes!(accounts::add_token)),
        (Needs(P::OwnTokens), routes!(accounts::remove_token)),
        (Needs(P::Audit), routes!(accounts::audit)),
        (Needs(P::Audit), routes!(accounts::verify)),
        (Needs(P::Read), routes!(status::status)),
        (Needs(P::Read), routes!(status::task_types)),
    ];
    routes.into_iter().fold(OpenApiRouter::new(), |router, (access, route)| router.routes(guarded(access, route)))
}

/// Lets in who may come in, and says so in the document.
fn guarded(access: Access, route: UtoipaMethodRouter<ApiState>) -> UtoipaMethodRouter<ApiState> {
    let (schemas, mut paths, router) = route;
    for item in paths.paths.values_mut() {
        for operation in operations(item) {
            document(access, operation);
        }
    }
    let guard = from_fn_with_state(access, auth::guard);
    (schemas, paths, router).map(|router| router.route_layer(guard))
}

/// The operations of a path.
pub(crate) fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete].into_iter().flatten()
}

fn document(access: Access, operation: &mut Operation) {
    let (permission, role) = match access {
        Access::Public => ("public", "none"),
        Access::Known => ("known", "viewer"),
        Access::Needs(permission) => (permission.name(), permission.needs().name()),
    };
    operation.extensions =
        Some(ExtensionsBuilder::new().add("x-permission", permission).add("x-minimum-role", role).build());
    operation.security = Some(match access {
        Access::Public => vec![SecurityRequirement::default()],
        Access::Known | Access::Needs(_) => vec![
            SecurityRequirement::new("token", Vec::<String>::new()),
            SecurityRequirement::new("session", Vec::<String>::new()),
        ],
    });
    let content = ContentBuilder::new().schema(Some(RefOr::Ref(Ref::from_schema_name("Problem")))).build();
    let problem = ResponseBuilder::new()
        .description("What went wrong (RFC 9457)")
        .content("application/problem+json", content)
        .build();
    operation.responses.responses.insert("default".to_owned(), RefOr::T(problem));
}
