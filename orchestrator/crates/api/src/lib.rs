//! The REST API under `/api/v1`, its event streams, and the pages around it.
//!
//! ```text
//! serve (TCP, TLS, socket) ─▶ app (ids, headers, limits, problems) ─▶ auth (who, from where) ─▶ routes ─▶ read (rows → dto)
//!                                                                                                 │
//!                                                        engine (changes) ◀── trigger, control ◀──┘
//! ```
//! A binary builds an [`ApiConfig`], makes an [`ApiState`] and an [`app`] of it, and hands that to [`serve()`].
//!
//! **Invariant:** nothing here writes a run's state: changes go through the engine. **Invariant:** reads go over readers'
//! connections, never the engine's. **Invariant:** each route stands once, in `routes`, with what it takes to be let in.
#![warn(missing_docs)]

mod app;
mod auth;
mod datasets;
mod denials;
mod docs_page;
pub mod dto;
mod etag;
mod events;
mod extract;
mod graph;
mod health;
mod links;
mod loads;
mod metrics;
mod openapi;
mod page;
mod plans;
mod problem;
mod read;
mod reasons;
mod request_id;
mod routes;
mod schedules;
mod security;
mod serve;
mod stall;
mod state;
mod statics;
mod trigger;
mod versions;
pub mod words;
mod workflows;

pub use app::{MAX_BODY_BYTES, REQUEST_TIMEOUT, app};
pub use auth::{ACTOR, COOKIE};
pub use datasets::{DatasetLook, DatasetPreviewer};
pub use graph::layout;
pub use openapi::{BASE, openapi_json};
pub use problem::ProblemBody;
pub use schedules::schedule_preview;
pub use security::CONTENT_SECURITY_POLICY;
pub use serve::{GRACE, Listener, Peer, serve};
pub use state::{ApiConfig, ApiState, UpkeepSource};
pub use statics::{Asset, Assets};
