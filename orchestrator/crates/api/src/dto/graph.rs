//! A workflow's graph with coordinates.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A node; `x`, `y` is its top left corner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GraphNode {
    /// The task.
    pub id: String,
    /// Its task type.
    #[serde(rename = "type")]
    pub task_type: String,
    /// Left.
    pub x: f64,
    /// Top.
    pub y: f64,
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
    /// Named connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conn: Option<String>,
    /// Its trigger rule, where it is not the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger_rule: Option<String>,
}

/// An arrow from an upstream task to a downstream one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GraphEdge {
    /// The upstream task.
    pub from: String,
    /// The downstream task.
    pub to: String,
    /// The line, as `[x, y]` points.
    #[schema(value_type = Vec<Vec<f64>>)]
    pub points: Vec<(f64, f64)>,
}

/// A laid-out graph, left to right.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Graph {
    /// Width of all of it.
    pub width: f64,
    /// Height of all of it.
    pub height: f64,
    /// Tasks in file order.
    pub nodes: Vec<GraphNode>,
    /// Arrows.
    pub edges: Vec<GraphEdge>,
    /// The same as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}
