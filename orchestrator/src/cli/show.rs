//! `updraft show`: a workflow's graph as text, the one that the UI draws.

use ascii_dag::{Graph, RenderOptions};
use clap::Args as ClapArgs;
use serde_json::json;
use updraft_model::graph::Compiled;

use super::{Session, output, workflows};
use crate::exit_code::{ExitCode, Failure};

/// Arguments of `updraft show`.
#[derive(Debug, ClapArgs)]
pub struct Args {
    /// A workflow file
    file: String,
}

/// Carries it out.
pub fn run(session: &Session, args: &Args) -> Result<ExitCode, Failure> {
    let workflow = workflows::read(session, &args.file)?;
    if session.json {
        let compiled = Compiled::new(workflow).map_err(|error| Failure::input(error.to_string()))?;
        output::json(&json!(updraft_api::layout(&compiled)))?;
        return Ok(ExitCode::Success);
    }
    let nodes: Vec<(usize, &str)> =
        workflow.tasks.iter().enumerate().map(|(at, task)| (at, task.id.as_str())).collect();
    let position = |id: &str| workflow.tasks.iter().position(|task| task.id.as_str() == id);
    let edges: Vec<(usize, usize)> = workflow
        .tasks
        .iter()
        .enumerate()
        .flat_map(|(at, task)| task.depends_on.iter().filter_map(move |on| Some((position(on.as_str())?, at))))
        .collect();
    let graph = Graph::from_edges(&nodes, &edges);
    output::text(&graph.compute_layout().render_string(&RenderOptions::plain()));
    Ok(ExitCode::Success)
}
