//! Tests of the API.

mod openapi;
