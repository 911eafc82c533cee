//! The REST API under `/api/v1`, its event streams, and the pages around it.
#![warn(missing_docs)]
