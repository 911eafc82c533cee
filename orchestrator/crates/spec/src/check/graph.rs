//! The graph of a file: unknown dependencies, cycles, tasks that can never run.

use std::collections::{HashMap, HashSet, VecDeque};

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use updraft_model::trigger_rule::TriggerRule;

use super::Cx;
use crate::diagnostic::{Code, Diagnostic, Span};
use crate::suggest::nearest;

/// Most cycles that are named.
const MAX_CYCLES: usize = 50;

/// A task as far as the graph needs it.
pub(crate) struct Vertex {
    pub(crate) id: Option<(String, Span)>,
    pub(crate) depends_on: Vec<(String, Span)>,
    pub(crate) trigger_rule: (TriggerRule, Span),
}

/// Tasks and their edges, by index in file order.
pub(crate) struct Graph {
    ids: Vec<Option<(String, Span)>>,
    by_id: HashMap<String, usize>,
    /// Direct upstreams: known, distinct, not the task itself.
    upstream: Vec<Vec<usize>>,
}

impl Graph {
    /// Builds it and says what is wrong with it.
    pub(crate) fn build(cx: &mut Cx<'_>, vertices: Vec<Vertex>) -> Self {
        let mut by_id = HashMap::new();
        for (index, vertex) in vertices.iter().enumerate() {
            let Some((id, span)) = &vertex.id else { continue };
            if let Some(first) = by_id.get(id) {
                let first: &Vertex = &vertices[*first];
                let message = format!("there are two tasks `{id}`");
                let mut found = Diagnostic::new(Code::W201, *span, message).hint("give one of them another id");
                if let Some((_, first)) = first.id {
                    found = found.also(first, "the first one");
                }
                cx.push(found);
            } else {
                by_id.insert(id.clone(), index);
            }
        }
        let known: Vec<&str> = vertices.iter().filter_map(|vertex| Some(vertex.id.as_ref()?.0.as_str())).collect();
        let upstream = vertices.iter().map(|vertex| edges(cx, vertex, &by_id, &known)).collect();
        let rules: Vec<(TriggerRule, Span)> = vertices.iter().map(|vertex| vertex.trigger_rule).collect();
        let places: Vec<Vec<(String, Span)>> = vertices.iter().map(|vertex| vertex.depends_on.clone()).collect();
        let ids = vertices.into_iter().map(|vertex| vertex.id).collect();
        let graph = Self { ids, by_id, upstream };
        if graph.report_cycles(cx, &places) == 0 {
            graph.report_unreachable(cx, &rules);
        }
        graph
    }

    /// The task of that name.
    pub(crate) fn index(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// All names.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.ids.iter().flatten().map(|(id, _)| id.as_str())
    }

    /// A task's name.
    pub(crate) fn id(&self, index: usize) -> Option<&str> {
        self.ids[index].as_ref().map(|(id, _)| id.as_str())
    }

    /// Where a task's name stands.
    pub(crate) fn id_span(&self, index: usize) -> Option<Span> {
        self.ids[index].as_ref().map(|(_, span)| *span)
    }

    /// Whether `first` runs before `task`, directly or not.
    pub(crate) fn is_upstream(&self, first: usize, task: usize) -> bool {
        if self.upstream[task].contains(&first) {
            return true;
        }
        let (mut seen, mut open) = (HashSet::new(), vec![task]);
        while let Some(at) = open.pop() {
            for parent in &self.upstream[at] {
                if *parent == first {
                    return true;
                }
                if seen.insert(*parent) {
                    open.push(*parent);
                }
            }
        }
        false
    }

    /// Names every cycle, each once; how many there are.
    fn report_cycles(&self, cx: &mut Cx<'_>, places: &[Vec<(String, Span)>]) -> usize {
        let mut graph = DiGraph::<(), ()>::with_capacity(self.ids.len(), self.ids.len());
        let nodes: Vec<NodeIndex> = self.ids.iter().map(|_| graph.add_node(())).collect();
        for (task, parents) in self.upstream.iter().enumerate() {
            for parent in parents {
                graph.update_edge(nodes[*parent], nodes[task], ());
            }
        }
        let mut found = 0;
        // Each round names one cycle of each knot and cuts it at the edge that closes it.
        loop {
            let mut knots: Vec<Vec<usize>> = tarjan_scc(&graph)
                .into_iter()
                .filter(|knot| knot.len() > 1)
                .map(|knot| knot.into_iter().map(NodeIndex::index).collect())
                .collect();
            if knots.is_empty() || found >= MAX_CYCLES {
                return found;
            }
            knots.sort_by_key(|knot| knot.iter().min().copied());
            for knot in knots {
                let cycle = shortest_cycle(&graph, &knot);
                let (Some(first), Some(last)) = (cycle.first(), cycle.last()) else { return found };
                self.report_cycle(cx, &cycle, places);
                found += 1;
                if let Some(edge) = graph.find_edge(NodeIndex::new(*last), NodeIndex::new(*first)) {
                    graph.remove_edge(edge);
                }
            }
        }
    }

    /// `cycle` in running order: each is upstream of the next, the last of the first.
    fn report_cycle(&self, cx: &mut Cx<'_>, cycle: &[usize], places: &[Vec<(String, Span)>]) {
        let name = |index: usize| self.id(index).unwrap_or_default();
        let (first, last) = (cycle[0], cycle[cycle.len() - 1]);
        // The edge written at the first task of the file.
        let span = places[first]
            .iter()
            .find(|(id, _)| id == name(last))
            .map(|(_, span)| *span)
            .or_else(|| self.id_span(first))
            .unwrap_or_default();
        let names: Vec<&str> = cycle.iter().chain([&first]).map(|index| name(*index)).collect();
        let message = format!("these tasks wait for each other: {}", names.join(" → "));
        let mut found = Diagnostic::new(Code::W204, span, message).label("closes the cycle");
        for index in cycle.iter().skip(1).take(8) {
            let before = cycle.iter().position(|at| at == index).map_or(first, |at| cycle[at - 1]);
            if let Some((_, at)) = places[*index].iter().find(|(id, _)| id == name(before)) {
                found = found.also(*at, format!("`{}` waits for `{}`", name(*index), name(before)));
            }
        }
        cx.push(found.hint("take one of these dependencies out"));
    }

    /// Finds tasks whose trigger rule no course of events can meet.
    fn report_unreachable(&self, cx: &mut Cx<'_>, rules: &[(TriggerRule, Span)]) {
        let ordinary =
            |rule: TriggerRule| matches!(rule, TriggerRule::AllSuccess | TriggerRule::Always | TriggerRule::AllDone);
        if rules.iter().all(|(rule, _)| ordinary(*rule)) {
            return;
        }
        let mut budget = 2_000_000_usize;
        for task in 0..self.ids.len() {
            let (rule, span) = rules[task];
            if self.upstream[task].is_empty() {
                if rule != TriggerRule::AllSuccess && rule != TriggerRule::Always {
                    let message = format!("`{}` has no effect on a task without `depends_on`", rule.name());
                    cx.push(Diagnostic::new(Code::W304, span, message).hint("such a task starts at once"));
                }
                continue;
            }
            let order = self.ancestors(task);
            if order.iter().chain([&task]).all(|index| ordinary(rules[*index].0)) {
                continue;
            }
            if super::reach::can_run(task, &order, &self.upstream, rules, &mut budget) == Some(false) {
                let message = format!("task `{}` can never run", self.id(task).unwrap_or_default());
                let place = if rule == TriggerRule::AllSuccess { self.id_span(task).unwrap_or(span) } else { span };
                let found = Diagnostic::new(Code::W205, place, message);
                cx.push(found.hint(format!(
                    "no course of events meets `{}` here: the outcomes that it asks for exclude each other",
                    rule.name()
                )));
            }
        }
    }

    /// All upstream tasks, each after its own.
    fn ancestors(&self, task: usize) -> Vec<usize> {
        let (mut order, mut seen) = (Vec::new(), HashSet::new());
        let mut open = vec![(task, 0)];
        while let Some((at, next)) = open.pop() {
            if let Some(parent) = self.upstream[at].get(next) {
                open.push((at, next + 1));
                if seen.insert(*parent) {
                    open.push((*parent, 0));
                }
            } else if at != task {
                order.push(at);
            }
        }
        order
    }
}

/// Checks the dependencies of one task against all ids in file order; the known ones.
fn edges(cx: &mut Cx<'_>, vertex: &Vertex, by_id: &HashMap<String, usize>, ids: &[&str]) -> Vec<usize> {
    let mut parents = Vec::new();
    let mut seen: HashMap<&str, Span> = HashMap::new();
    for (name, span) in &vertex.depends_on {
        if let Some(first) = seen.get(name.as_str()) {
            let found = Diagnostic::new(Code::W208, *span, format!("`{}` is named twice", cx.short(name)));
            cx.push(found.also(*first, "first time").hint("name it once"));
            continue;
        }
        seen.insert(name, *span);
        if vertex.id.as_ref().is_some_and(|(id, _)| id == name) {
            let found = Diagnostic::new(Code::W203, *span, format!("task `{name}` depends on itself"));
            cx.push(found.hint("take it out of `depends_on`"));
            continue;
        }
        if let Some(index) = by_id.get(name) {
            parents.push(*index);
            continue;
        }
        let mut found = Diagnostic::new(Code::W202, *span, format!("there is no task `{}`", cx.short(name)));
        if !cx.sink.is_full() {
            found = found.did_you_mean(nearest(name, ids.iter().copied()));
        }
        cx.push(found);
    }
    parents
}

/// The shortest cycle through the first task of a knot, in running order from that task.
fn shortest_cycle(graph: &DiGraph<(), ()>, knot: &[usize]) -> Vec<usize> {
    let inside: HashSet<usize> = knot.iter().copied().collect();
    let Some(start) = knot.iter().min().copied() else { return Vec::new() };
    let mut before: HashMap<usize, usize> = HashMap::new();
    let mut open = VecDeque::from([start]);
    while let Some(at) = open.pop_front() {
        let mut next: Vec<usize> =
            graph.neighbors(NodeIndex::new(at)).map(NodeIndex::index).filter(|next| inside.contains(next)).collect();
        next.sort_unstable();
        for next in next {
            if next == start {
                let mut cycle = vec![at];
                let mut at = at;
                while let Some(previous) = before.get(&at) {
                    cycle.push(*previous);
                    at = *previous;
                }
                cycle.reverse();
                return cycle;
            }
            if next != start && !before.contains_key(&next) {
                before.insert(next, at);
                open.push_back(next);
            }
        }
    }
    Vec::new()
}
