//! Graphs: order, closures, and cycles named in full.

use updraft_model::graph::{Graph, GraphError, GraphProblem};
use updraft_model::id::TaskId;

fn build(tasks: &[(&str, &[&str])]) -> Result<Graph, GraphError> {
    let tasks: Vec<(TaskId, Vec<TaskId>)> = tasks
        .iter()
        .map(|(id, needs)| (TaskId::from(*id), needs.iter().map(|need| TaskId::from(*need)).collect()))
        .collect();
    Graph::build(tasks.iter().map(|(id, needs)| (id, needs.as_slice())))
}

fn problems(tasks: &[(&str, &[&str])]) -> Vec<String> {
    build(tasks).unwrap_err().0.iter().map(ToString::to_string).collect()
}

fn names(graph: &Graph, positions: &[u32]) -> Vec<String> {
    positions.iter().map(|&position| graph.id(position).to_string()).collect()
}

#[test]
fn the_order_is_topological_and_stable_in_file_order() {
    let graph = build(&[("d", &["b", "c"]), ("a", &[]), ("c", &["a"]), ("b", &["a"]), ("e", &[])]).unwrap();
    assert_eq!(names(&graph, graph.topological()), ["a", "c", "b", "d", "e"]);
    assert_eq!(names(&graph, graph.upstream(0)), ["b", "c"]);
    assert_eq!(names(&graph, graph.downstream(1)), ["c", "b"]);
    assert_eq!(graph.position("e"), Some(4));
    assert_eq!(graph.position("z"), None);
}

#[test]
fn closures_hold_the_tasks_themselves_and_all_that_is_behind_them() {
    let graph = build(&[("a", &[]), ("b", &["a"]), ("c", &["b"]), ("d", &["a"])]).unwrap();
    assert_eq!(graph.upstream_closure([2]), [true, true, true, false]);
    assert_eq!(graph.downstream_closure([1]), [false, true, true, false]);
    assert_eq!(graph.upstream_closure([]), [false; 4]);
}

#[test]
fn a_dependency_named_twice_counts_once() {
    let graph = build(&[("a", &[]), ("b", &["a", "a"])]).unwrap();
    assert_eq!(graph.upstream(1), [0]);
}

#[test]
fn cycles_begin_with_the_task_that_stands_first_and_name_every_task_on_one() {
    let cases: [(&[(&str, &[&str])], &[&str]); 6] = [
        (&[("a", &["a"])], &["tasks wait for each other: a → a; take out one of these dependencies"]),
        (
            &[("x", &[]), ("c", &["b"]), ("a", &["c", "x"]), ("b", &["a"])],
            &["tasks wait for each other: c → a → b → c; take out one of these dependencies"],
        ),
        (
            &[("a", &["b"]), ("b", &["a", "c"]), ("c", &["b"])],
            &[
                "tasks wait for each other: a → b → a; take out one of these dependencies",
                "tasks wait for each other: b → c → b; take out one of these dependencies",
            ],
        ),
        (
            &[("a", &["b"]), ("b", &["a"]), ("c", &["d"]), ("d", &["c"]), ("e", &["b", "d"])],
            &[
                "tasks wait for each other: a → b → a; take out one of these dependencies",
                "tasks wait for each other: c → d → c; take out one of these dependencies",
            ],
        ),
        (
            &[("a", &["z"]), ("a", &[])],
            &["two tasks are named `a`: rename one of them", "task `a` depends on `z`, which does not exist"],
        ),
        (
            // The short way round is named, not the long one.
            &[("a", &["d", "b"]), ("b", &["c"]), ("c", &["a"]), ("d", &["a"])],
            &[
                "tasks wait for each other: a → d → a; take out one of these dependencies",
                "tasks wait for each other: a → c → b → a; take out one of these dependencies",
            ],
        ),
    ];
    for (tasks, expected) in cases {
        assert_eq!(problems(tasks), expected, "{tasks:?}");
    }
}

#[test]
fn a_cycle_of_ten_thousand_tasks_is_found_and_named_in_full() {
    let ids: Vec<TaskId> = (0..10_000).map(|n| TaskId::from(format!("t{n}"))).collect();
    let needs: Vec<Vec<TaskId>> = (0..ids.len()).map(|n| vec![ids[(n + ids.len() - 1) % ids.len()].clone()]).collect();
    let error = Graph::build(ids.iter().zip(needs.iter().map(Vec::as_slice))).unwrap_err();
    let [GraphProblem::Cycle(cycle)] = error.0.as_slice() else { panic!("{} problems", error.0.len()) };
    assert_eq!(*cycle, ids);
}
