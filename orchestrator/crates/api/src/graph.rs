//! Coordinates for a workflow's graph: left to right, the same for the same version, made once a version.
//!
//! dugong's interface is its authors' detail: it is used in [`arrange`] alone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use dugong::graphlib::{Graph as Layout, GraphOptions};
use dugong::{EdgeLabel, GraphLabel, NodeLabel, RankDir};
use updraft_model::graph::Compiled;
use updraft_model::id::VersionId;
use updraft_model::trigger_rule::TriggerRule;

use crate::dto::{Graph, GraphEdge, GraphNode};

const NODE_HEIGHT: f64 = 48.0;
const LETTER: f64 = 7.2;
const PADDING: f64 = 52.0;
const MIN_WIDTH: f64 = 128.0;
const MAX_WIDTH: f64 = 296.0;
const MARGIN: f64 = 16.0;
const BETWEEN_NODES: f64 = 24.0;
const BETWEEN_RANKS: f64 = 56.0;
/// Above this the layout that minimises crossings takes seconds; columns by depth are drawn instead.
const MAX_ARRANGED: usize = 3_000;

/// Layouts by version, the ones looked at most recently.
#[derive(Debug, Default)]
pub(crate) struct Graphs(Mutex<BTreeMap<i64, Arc<Graph>>>);

/// Layouts that are kept.
const KEPT: usize = 256;

impl Graphs {
    /// The layout of a version.
    pub(crate) async fn of(&self, version: VersionId, compiled: &Arc<Compiled>) -> Arc<Graph> {
        if let Some(graph) = self.known(version) {
            return graph;
        }
        let compiled = Arc::clone(compiled);
        let made = match tokio::task::spawn_blocking(move || layout(&compiled)).await {
            Ok(graph) => Arc::new(graph),
            Err(error) => {
                tracing::error!(%error, "a graph could not be laid out");
                return Arc::new(Graph::default());
            }
        };
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            // The oldest version is the one least likely to be looked at again.
            kept.pop_first();
        }
        Arc::clone(kept.entry(version.0).or_insert(made))
    }

    fn known(&self, version: VersionId) -> Option<Arc<Graph>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&version.0).cloned()
    }
}

/// Lays a workflow's graph out.
pub fn layout(compiled: &Compiled) -> Graph {
    let mut graph = Graph {
        nodes: compiled.graph.indices().map(|task| node(compiled, task)).collect(),
        edges: edges(compiled),
        ..Graph::default()
    };
    if graph.nodes.len() > MAX_ARRANGED || !arrange(&mut graph) {
        columns(compiled, &mut graph);
    }
    graph
}

fn node(compiled: &Compiled, task: u32) -> GraphNode {
    let task = compiled.task(task);
    let letters = task.id.as_str().chars().count().max(task.task_type.chars().count());
    GraphNode {
        id: task.id.to_string(),
        task_type: task.task_type.clone(),
        x: 0.0,
        y: 0.0,
        width: (f64::from(u32::try_from(letters).unwrap_or(u32::MAX)) * LETTER + PADDING)
            .clamp(MIN_WIDTH, MAX_WIDTH)
            .round(),
        height: NODE_HEIGHT,
        conn: task.conn.clone(),
        trigger_rule: (task.trigger_rule != TriggerRule::default()).then(|| task.trigger_rule.name().to_owned()),
    }
}

fn edges(compiled: &Compiled) -> Vec<GraphEdge> {
    let graph = &compiled.graph;
    let of = |task: u32| {
        let to = graph.id(task).to_string();
        graph.upstream(task).iter().map(move |&up| GraphEdge {
            from: graph.id(up).to_string(),
            to: to.clone(),
            points: Vec::new(),
        })
    };
    graph.indices().flat_map(of).collect()
}

/// By dugong; false if it does not answer.
fn arrange(graph: &mut Graph) -> bool {
    let options = GraphOptions { multigraph: false, compound: false, directed: true };
    let mut layout: Layout<NodeLabel, EdgeLabel, GraphLabel> = Layout::new(options);
    layout.set_graph(GraphLabel {
        rankdir: RankDir::LR,
        nodesep: BETWEEN_NODES,
        ranksep: BETWEEN_RANKS,
        edgesep: 12.0,
        marginx: MARGIN,
        marginy: MARGIN,
        ranker: Some("tight-tree".to_owned()),
        ..GraphLabel::default()
    });
    for node in &graph.nodes {
        let label = NodeLabel { width: node.width, height: node.height, ..NodeLabel::default() };
        layout.set_node(node.id.clone(), label);
    }
    for edge in &graph.edges {
        let label = EdgeLabel { minlen: 1, weight: 1.0, ..EdgeLabel::default() };
        layout.set_edge_with_label(edge.from.clone(), edge.to.clone(), label);
    }
    if let Err(error) = dugong::layout(&mut layout) {
        tracing::warn!(%error, "a graph is drawn in columns");
        return false;
    }
    for node in &mut graph.nodes {
        let Some(NodeLabel { x: Some(x), y: Some(y), .. }) = layout.node(&node.id) else { return false };
        node.x = rounded(x - node.width / 2.0);
        node.y = rounded(y - node.height / 2.0);
    }
    for edge in &mut graph.edges {
        let Some(found) = layout.edge(&edge.from, &edge.to, None) else { return false };
        edge.points = found.points.iter().map(|point| (rounded(point.x), rounded(point.y))).collect();
    }
    measure(graph);
    true
}

/// Columns by depth, rows in file order.
fn columns(compiled: &Compiled, graph: &mut Graph) {
    let mut depth = vec![0_usize; graph.nodes.len()];
    for &task in compiled.graph.topological() {
        let above = compiled.graph.upstream(task).iter().map(|&up| depth[up as usize] + 1).max();
        depth[task as usize] = above.unwrap_or(0);
    }
    let count = depth.iter().max().map_or(0, |deepest| deepest + 1);
    let mut widths = vec![MIN_WIDTH; count];
    for (node, &column) in graph.nodes.iter().zip(&depth) {
        widths[column] = widths[column].max(node.width);
    }
    let mut left = vec![MARGIN; count];
    for column in 1..count {
        left[column] = left[column - 1] + widths[column - 1] + BETWEEN_RANKS;
    }
    let mut top = vec![MARGIN; count];
    for (node, &column) in graph.nodes.iter_mut().zip(&depth) {
        (node.x, node.y) = (left[column], top[column]);
        top[column] += node.height + BETWEEN_NODES;
    }
    let end = |task: &str| compiled.graph.position(task).map(|at| at as usize);
    let mut lines = Vec::with_capacity(graph.edges.len());
    for edge in &graph.edges {
        let points = match (end(&edge.from), end(&edge.to)) {
            (Some(from), Some(to)) => {
                let (from, to) = (&graph.nodes[from], &graph.nodes[to]);
                vec![(from.x + from.width, from.y + from.height / 2.0), (to.x, to.y + to.height / 2.0)]
            }
            _ => Vec::new(),
        };
        lines.push(points);
    }
    for (edge, points) in graph.edges.iter_mut().zip(lines) {
        edge.points = points;
    }
    measure(graph);
}

fn measure(graph: &mut Graph) {
    graph.width = graph.nodes.iter().map(|node| node.x + node.width).fold(0.0, f64::max) + MARGIN;
    graph.height = graph.nodes.iter().map(|node| node.y + node.height).fold(0.0, f64::max) + MARGIN;
}

/// Tenths of a pixel are enough, and keep answers small.
fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled(tasks: &[(&str, &[&str])]) -> Compiled {
        let tasks: Vec<_> = tasks
            .iter()
            .map(|(id, needs)| serde_json::json!({ "id": id, "type": "noop", "depends_on": needs }))
            .collect();
        let workflow = serde_json::json!({ "id": "w", "max_active_runs": 1, "tasks": tasks });
        let workflow: updraft_model::workflow::Workflow = serde_json::from_value(workflow).unwrap();
        Compiled::new(workflow).unwrap()
    }

    #[test]
    fn a_diamond_goes_from_left_to_right_and_is_the_same_every_time() {
        let diamond = compiled(&[("a", &[]), ("b", &["a"]), ("c", &["a"]), ("d", &["b", "c"]), ("alone", &[])]);
        let graph = layout(&diamond);
        let at = |id: &str| graph.nodes.iter().find(|node| node.id == id).map(|node| (node.x, node.y)).unwrap();
        assert!(at("a").0 < at("b").0 && at("b").0 < at("d").0, "{graph:?}");
        assert!((at("b").0 - at("c").0).abs() < 1.0 && (at("b").1 - at("c").1).abs() >= NODE_HEIGHT);
        assert_eq!(graph.edges.len(), 4);
        assert!(graph.edges.iter().all(|edge| edge.points.len() >= 2), "{graph:?}");
        assert!(graph.nodes.iter().all(|node| node.x >= 0.0 && node.x + node.width <= graph.width));
        assert_eq!(layout(&diamond), graph);
    }

    #[test]
    fn columns_overlap_nowhere() {
        let diamond = compiled(&[("a", &[]), ("b", &["a"]), ("c", &["a"]), ("d", &["b", "c"])]);
        let mut graph = layout(&diamond);
        columns(&diamond, &mut graph);
        for (n, one) in graph.nodes.iter().enumerate() {
            for other in &graph.nodes[n + 1..] {
                let apart = one.x + one.width <= other.x
                    || other.x + other.width <= one.x
                    || one.y + one.height <= other.y
                    || other.y + other.height <= one.y;
                assert!(apart, "{one:?} {other:?}");
            }
        }
    }
}
