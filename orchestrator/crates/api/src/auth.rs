//! Who is asking, and whether they may.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use updraft_model::access::{Permission, Role};

use crate::problem::Problem;
use crate::routes::Access;

/// Name of the session's cookie.
pub const COOKIE: &str = "updraft_session";

/// Who is asking.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub role: Role,
}

impl Caller {
    fn may(&self, permission: Permission) -> bool {
        self.role.allows(permission)
    }
}

/// Lets in who may come in.
pub(crate) async fn guard(State(access): State<Access>, request: Request, next: Next) -> Result<Response, Problem> {
    match access {
        Access::Public => {}
        Access::Known => {
            request.extensions().get::<Caller>().ok_or_else(Problem::unauthenticated)?;
        }
        Access::Needs(permission) => {
            let caller = request.extensions().get::<Caller>().ok_or_else(Problem::unauthenticated)?;
            if !caller.may(permission) {
                let needs = permission.needs();
                return Err(Problem::forbidden(format!(
                    "this needs the permission `{permission}` (role `{needs}` or more); yours is `{}`",
                    caller.role
                )));
            }
        }
    }
    Ok(next.run(request).await)
}
