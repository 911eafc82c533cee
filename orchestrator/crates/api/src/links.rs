//! Links of the document (`OpenAPI`'s `links`): what can be asked for next with what an answer names.

use utoipa::openapi::link::LinkBuilder;
use utoipa::openapi::path::Parameter;
use utoipa::openapi::{OpenApi, RefOr};

use crate::routes::operations;

/// Answers of an operation with this status lead to others, whose parameters they hold.
struct From {
    operation: &'static str,
    status: &'static str,
    to: &'static [&'static str],
    /// Parameters with where they stand in the answer or in the question.
    with: &'static [(&'static str, &'static str)],
}

const OF_A_RUN: &[&str] = &["show_run", "view_run", "tasks", "events", "note", "cancel", "retry", "mark", "repair"];
const OF_A_WORKFLOW: &[&str] = &[
    "show_workflow",
    "view_workflow",
    "grid",
    "graph",
    "durations",
    "calendar",
    "schedule",
    "versions",
    "trigger",
    "pause",
    "unpause",
];

const LINKS: &[From] = &[
    From { operation: "trigger", status: "201", to: OF_A_RUN, with: &[("run", "$response.body#/id")] },
    From { operation: "list_runs", status: "200", to: OF_A_RUN, with: &[("run", "$response.body#/items/0/id")] },
    From {
        operation: "list_workflows",
        status: "200",
        to: OF_A_WORKFLOW,
        with: &[("workflow", "$response.body#/items/0/id")],
    },
    From {
        operation: "versions",
        status: "200",
        to: &["version"],
        with: &[("workflow", "$request.path.workflow"), ("version", "$response.body#/items/0/version")],
    },
    From {
        operation: "tasks",
        status: "200",
        to: &["task", "log"],
        with: &[
            ("run", "$request.path.run"),
            ("task", "$response.body#/items/0/task"),
            ("n", "$response.body#/items/0/attempts/0/n"),
        ],
    },
    From { operation: "put", status: "200", to: &["test", "delete"], with: &[("name", "$response.body#/name")] },
    From {
        operation: "add_user",
        status: "201",
        to: &["change_user", "remove_user"],
        with: &[("name", "$response.body#/name")],
    },
    From { operation: "add_token", status: "201", to: &["remove_token"], with: &[("id", "$response.body#/id")] },
];

/// Adds them.
pub(crate) fn add(document: &mut OpenApi) {
    for from in LINKS {
        let targets: Vec<(&str, Vec<String>)> = from.to.iter().map(|to| (*to, parameters(document, to))).collect();
        let all = document.paths.paths.values_mut().flat_map(operations);
        let Some(source) = all.into_iter().find(|one| one.operation_id.as_deref() == Some(from.operation)) else {
            continue;
        };
        let Some(RefOr::T(response)) = source.responses.responses.get_mut(from.status) else { continue };
        for (to, known) in targets {
            let given = from.with.iter().filter(|(name, _)| known.iter().any(|one| one == name));
            let link =
                given.fold(LinkBuilder::new().operation_id(to), |link, (name, place)| link.parameter(*name, *place));
            response.links.insert(to.to_owned(), RefOr::T(link.build()));
        }
    }
}

/// Names of an operation's parameters.
fn parameters(document: &mut OpenApi, operation: &str) -> Vec<String> {
    let mut all = document.paths.paths.values_mut().flat_map(operations);
    let found = all.find(|one| one.operation_id.as_deref() == Some(operation));
    let name = |parameter: &RefOr<Parameter>| match parameter {
        RefOr::T(parameter) => Some(parameter.name.clone()),
        RefOr::Ref(_) => None,
    };
    found.and_then(|one| one.parameters.as_ref()).into_iter().flatten().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_operation_has_a_name_of_its_own_and_every_link_leads_to_one() {
        let (_, mut document) = crate::openapi::router();
        let names: Vec<String> =
            document.paths.paths.values_mut().flat_map(operations).filter_map(|one| one.operation_id.clone()).collect();
        let known: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(known.len(), names.len(), "an operation's name stands twice: {names:?}");
        let (mut expected, mut found) = (0, 0);
        for from in LINKS {
            assert!(known.contains(from.operation), "{}", from.operation);
            expected += from.to.len();
            for to in from.to {
                let takes = parameters(&mut document, to);
                assert!(from.with.iter().any(|(name, _)| takes.iter().any(|one| one == name)), "{to}");
            }
        }
        for operation in document.paths.paths.values_mut().flat_map(operations) {
            for response in operation.responses.responses.values() {
                let RefOr::T(response) = response else { continue };
                found += response.links.len();
            }
        }
        assert_eq!(found, expected);
    }
}
