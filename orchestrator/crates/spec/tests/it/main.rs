//! Tests over files in `testdata/`: what people write, right and wrong.

mod bounds;
mod corpus;
mod derived;
mod editor;
mod formatting;
mod mutation;
mod pages;
mod support;
