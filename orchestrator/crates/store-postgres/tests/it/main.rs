//! The PostgreSQL store on a real server: what the conformance suite cannot ask of every store.

mod build;
mod commit;
mod conformance;
mod differential;
mod race;
mod schema;
mod session;
