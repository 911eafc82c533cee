//! The OpenSky flight-data tasks: what to ask for, asking for it, and judging what came.

pub mod budget;
mod client;
pub mod collect;
pub mod connection;
#[cfg(feature = "sql")]
mod jump;
mod keys;
pub mod plan;
pub mod region;
mod snapshot;
#[cfg(feature = "sql")]
mod state;
#[cfg(feature = "sql")]
mod states_parquet;
#[cfg(feature = "sql")]
mod tally;
#[cfg(test)]
mod tests;
#[cfg(feature = "sql")]
pub mod validate;

pub use collect::Collect;
pub use connection::OpenSky;
pub use plan::Plan;
#[cfg(all(test, feature = "sql"))]
pub(crate) use states_parquet::schema as state_columns;
#[cfg(feature = "sql")]
pub use validate::Validate;
