//! Tests over files in `testdata/`: what people write, right and wrong.

mod bounds;
mod corpus;
mod pages;
mod support;
