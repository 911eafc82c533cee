//! The REST API under `/api/v1`, its event streams, and the pages around it.
#![warn(missing_docs)]

mod auth;
pub mod dto;
mod extract;
mod graph;
mod openapi;
mod problem;
mod read;
mod request_id;
mod routes;
mod state;
pub mod words;

pub use auth::COOKIE;
pub use graph::layout;
pub use openapi::{BASE, openapi_json};
pub use problem::ProblemBody;
pub use state::ApiState;
