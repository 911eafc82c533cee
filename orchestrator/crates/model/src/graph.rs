//! The compiled graph of a workflow: positions instead of names, edges as flat arrays, cycles named in full.
//!
//! Knows nothing of runs or states; the same graph serves every run of a version.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use petgraph::algo::kosaraju_scc;
use petgraph::graph::DiGraph;

use crate::id::TaskId;
use crate::workflow::{Task, Workflow};

/// Position of a task in its file, from 0. Cheap key of everything inside a run.
pub type TaskIndex = u32;

/// Why a workflow has no graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GraphProblem {
    /// Two tasks have the same name.
    DuplicateTask(TaskId),
    /// A task depends on one that does not exist.
    UnknownDependency {
        /// Which task.
        task: TaskId,
        /// What it names.
        dependency: TaskId,
    },
    /// Tasks wait for each other. Begins with the one that stands first in the file; each depends on the one before
    /// it, and the first one on the last.
    Cycle(Vec<TaskId>),
    /// More tasks than positions.
    TooManyTasks(usize),
}

impl fmt::Display for GraphProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateTask(task) => write!(f, "two tasks are named `{task}`: rename one of them"),
            Self::UnknownDependency { task, dependency } => {
                write!(f, "task `{task}` depends on `{dependency}`, which does not exist")
            }
            Self::Cycle(path) => {
                f.write_str("tasks wait for each other: ")?;
                for task in path {
                    write!(f, "{task} → ")?;
                }
                match path.first() {
                    Some(first) => write!(f, "{first}; take out one of these dependencies"),
                    None => Ok(()),
                }
            }
            Self::TooManyTasks(count) => write!(f, "{count} tasks are more than a graph can hold"),
        }
    }
}

/// A workflow that cannot be compiled, with every reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphError(pub Vec<GraphProblem>);

impl fmt::Display for GraphError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("; ")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for GraphError {}

/// Adjacency as two flat arrays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Edges {
    starts: Vec<u32>,
    ends: Vec<TaskIndex>,
}

impl Edges {
    fn of(lists: &[Vec<TaskIndex>]) -> Self {
        let mut edges = Self { starts: vec![0], ends: Vec::new() };
        for list in lists {
            edges.ends.extend_from_slice(list);
            edges.starts.push(to_index(edges.ends.len()));
        }
        edges
    }

    fn from(&self, task: TaskIndex) -> &[TaskIndex] {
        let task = task as usize;
        &self.ends[self.starts[task] as usize..self.starts[task + 1] as usize]
    }
}

fn to_index(position: usize) -> TaskIndex {
    u32::try_from(position).expect("the number of tasks and edges was checked when the graph was built")
}

/// Who waits for whom, by position in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    ids: Vec<TaskId>,
    index: HashMap<TaskId, TaskIndex>,
    upstream: Edges,
    downstream: Edges,
    order: Vec<TaskIndex>,
}

impl Graph {
    /// Compiles tasks, given in file order with what they depend on. A dependency named twice counts once.
    ///
    /// # Errors
    /// Every duplicate, every unknown dependency, and cycles such that every task that lies on one is named.
    pub fn build<'a>(tasks: impl IntoIterator<Item = (&'a TaskId, &'a [TaskId])>) -> Result<Self, GraphError> {
        let tasks: Vec<_> = tasks.into_iter().collect();
        let edges: usize = tasks.iter().map(|(_, needs)| needs.len()).sum();
        if u32::try_from(tasks.len().max(edges)).is_err() {
            return Err(GraphError(vec![GraphProblem::TooManyTasks(tasks.len())]));
        }
        let mut problems = Vec::new();
        let mut index = HashMap::with_capacity(tasks.len());
        for (position, (id, _)) in tasks.iter().enumerate() {
            if index.insert((*id).clone(), to_index(position)).is_some() {
                problems.push(GraphProblem::DuplicateTask((*id).clone()));
            }
        }
        let mut upstream = vec![Vec::new(); tasks.len()];
        let mut downstream = vec![Vec::new(); tasks.len()];
        for (position, (id, needs)) in tasks.iter().enumerate() {
            for need in *needs {
                match index.get(need) {
                    None => {
                        problems
                            .push(GraphProblem::UnknownDependency { task: (*id).clone(), dependency: need.clone() });
                    }
                    Some(&parent) if upstream[position].contains(&parent) => {}
                    Some(&parent) => {
                        upstream[position].push(parent);
                        downstream[parent as usize].push(to_index(position));
                    }
                }
            }
        }
        let order = topological(&upstream, &downstream);
        if order.len() < tasks.len() {
            problems.extend(cycles(&downstream).into_iter().map(|cycle| {
                GraphProblem::Cycle(cycle.into_iter().map(|task| tasks[task as usize].0.clone()).collect())
            }));
        }
        if !problems.is_empty() {
            return Err(GraphError(problems));
        }
        Ok(Self {
            ids: tasks.into_iter().map(|(id, _)| id.clone()).collect(),
            index,
            upstream: Edges::of(&upstream),
            downstream: Edges::of(&downstream),
            order,
        })
    }

    /// Number of tasks.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// No tasks at all.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Every position, in file order.
    pub fn indices(&self) -> std::ops::Range<TaskIndex> {
        0..to_index(self.ids.len())
    }

    /// Position of a task.
    pub fn position(&self, task: &str) -> Option<TaskIndex> {
        self.index.get(task).copied()
    }

    /// Name of the task at a position.
    pub fn id(&self, task: TaskIndex) -> &TaskId {
        &self.ids[task as usize]
    }

    /// Direct upstreams, in the order they are written.
    pub fn upstream(&self, task: TaskIndex) -> &[TaskIndex] {
        self.upstream.from(task)
    }

    /// Direct downstreams, in file order.
    pub fn downstream(&self, task: TaskIndex) -> &[TaskIndex] {
        self.downstream.from(task)
    }

    /// All tasks, each after all its upstreams; among those that could come next, the first in the file comes first.
    pub fn topological(&self) -> &[TaskIndex] {
        &self.order
    }

    /// These tasks with everything upstream of them, by position: true = inside.
    pub fn upstream_closure(&self, of: impl IntoIterator<Item = TaskIndex>) -> Vec<bool> {
        self.closure(of, &self.upstream)
    }

    /// These tasks with everything downstream of them, by position: true = inside.
    pub fn downstream_closure(&self, of: impl IntoIterator<Item = TaskIndex>) -> Vec<bool> {
        self.closure(of, &self.downstream)
    }

    fn closure(&self, of: impl IntoIterator<Item = TaskIndex>, edges: &Edges) -> Vec<bool> {
        let mut inside = vec![false; self.ids.len()];
        let mut open: Vec<TaskIndex> = of.into_iter().collect();
        while let Some(task) = open.pop() {
            if !std::mem::replace(&mut inside[task as usize], true) {
                open.extend(edges.from(task));
            }
        }
        inside
    }
}

fn topological(upstream: &[Vec<TaskIndex>], downstream: &[Vec<TaskIndex>]) -> Vec<TaskIndex> {
    let mut missing: Vec<usize> = upstream.iter().map(Vec::len).collect();
    let mut free: BinaryHeap<Reverse<TaskIndex>> =
        (0..to_index(upstream.len())).filter(|&task| missing[task as usize] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(upstream.len());
    while let Some(Reverse(task)) = free.pop() {
        order.push(task);
        for &child in &downstream[task as usize] {
            missing[child as usize] -= 1;
            if missing[child as usize] == 0 {
                free.push(Reverse(child));
            }
        }
    }
    order
}

/// A shortest cycle through the first task (in file order) of each knot, then through the first one that no cycle so
/// far has named, until every task of the knot is named.
fn cycles(downstream: &[Vec<TaskIndex>]) -> Vec<Vec<TaskIndex>> {
    let mut graph = DiGraph::<(), (), u32>::with_capacity(downstream.len(), 0);
    for _ in downstream {
        graph.add_node(());
    }
    for (task, children) in downstream.iter().enumerate() {
        for &child in children {
            graph.add_edge(to_index(task).into(), child.into(), ());
        }
    }
    let mut found = Vec::new();
    let mut knot_of = vec![u32::MAX; downstream.len()];
    // Not `tarjan_scc`: that one recurses, and a cycle of ten thousand tasks overflows its stack.
    let mut knots: Vec<Vec<TaskIndex>> = kosaraju_scc(&graph)
        .into_iter()
        .map(|knot| knot.into_iter().map(|node| to_index(node.index())).collect::<Vec<_>>())
        .filter(|knot| knot.len() > 1 || downstream[knot[0] as usize].contains(&knot[0]))
        .collect();
    for knot in &mut knots {
        knot.sort_unstable();
    }
    knots.sort_unstable();
    for (number, knot) in knots.iter().enumerate() {
        for &task in knot {
            knot_of[task as usize] = to_index(number);
        }
    }
    let mut named = vec![false; downstream.len()];
    for knot in knots {
        for task in knot {
            if !named[task as usize] {
                let mut cycle = shortest_cycle(task, downstream, &knot_of);
                for &member in &cycle {
                    named[member as usize] = true;
                }
                let first = cycle.iter().enumerate().min_by_key(|(_, member)| **member).map_or(0, |(at, _)| at);
                cycle.rotate_left(first);
                found.push(cycle);
            }
        }
    }
    found
}

/// Breadth first from `start` back to it, inside its knot.
fn shortest_cycle(start: TaskIndex, downstream: &[Vec<TaskIndex>], knot_of: &[u32]) -> Vec<TaskIndex> {
    let knot = knot_of[start as usize];
    let mut came_from = vec![None; downstream.len()];
    let mut open = VecDeque::from([start]);
    while let Some(task) = open.pop_front() {
        for &child in &downstream[task as usize] {
            if child == start {
                let mut path = vec![task];
                let mut at = task;
                while let Some(before) = came_from[at as usize] {
                    path.push(before);
                    at = before;
                }
                path.reverse();
                return path;
            }
            if knot_of[child as usize] == knot && came_from[child as usize].is_none() {
                came_from[child as usize] = Some(task);
                open.push_back(child);
            }
        }
    }
    vec![start]
}

/// A workflow version ready to run: what is written with its graph. Immutable, shared by all its runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Compiled {
    /// What is written.
    pub workflow: Arc<Workflow>,
    /// Who waits for whom.
    pub graph: Graph,
}

impl Compiled {
    /// Compiles a workflow.
    ///
    /// # Errors
    /// See [`Graph::build`].
    pub fn new(workflow: impl Into<Arc<Workflow>>) -> Result<Self, GraphError> {
        let workflow = workflow.into();
        let graph = Graph::build(workflow.tasks.iter().map(|task| (&task.id, task.depends_on.as_slice())))?;
        Ok(Self { workflow, graph })
    }

    /// The task at a position.
    pub fn task(&self, task: TaskIndex) -> &Task {
        &self.workflow.tasks[task as usize]
    }
}
