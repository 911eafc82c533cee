//! `noop`: does nothing, and says so.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use updraft_task::{Context, Effects, ErrorClass, Task, TaskError};

/// The task type.
pub struct Noop;

/// It takes none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {}

/// It has none.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {}

impl Task for Noop {
    const TYPE: &'static str = "noop";
    const SUMMARY: &'static str = "does nothing: a place where branches meet";
    const EFFECTS: Effects = Effects::ExactlyOnce;
    const ERRORS: &'static [ErrorClass] = &[];
    const EXAMPLE: &'static str = "- id: join\n  type: noop\n";
    type Params = Params;
    type Output = Output;

    async fn run(_params: Params, _ctx: &Context) -> Result<Output, TaskError> {
        Ok(Output {})
    }
}
