//! What handlers share.

use std::sync::Arc;

/// Everything that handlers share.
#[derive(Clone)]
pub struct ApiState(Arc<Inner>);

struct Inner {
    openapi: String,
}

impl ApiState {
    pub(crate) fn openapi_text(&self) -> String {
        self.0.openapi.clone()
    }
}
