//! The help of every command, and completions.

use insta::assert_snapshot;

use crate::cli_support::Place;

#[test]
fn every_command_helps() {
    let place = Place::new(&[]);
    for command in [
        "",
        "run",
        "check",
        "fmt",
        "schema",
        "runs",
        "runs list",
        "runs show",
        "tasks",
        "logs",
        "cancel",
        "doctor",
        "migrate",
        "bench",
        "completions",
    ] {
        let mut arguments: Vec<&str> = command.split_whitespace().collect();
        arguments.push("--help");
        let finished = place.updraft(&arguments);
        assert_eq!((finished.code(), finished.err.as_str()), (Some(0), ""), "{command}");
        let name = if command.is_empty() { "updraft".to_owned() } else { command.replace(' ', "_") };
        assert_snapshot!(format!("help_{name}"), finished.out);
    }
}

#[test]
fn every_shell_gets_a_completion_script() {
    let place = Place::new(&[]);
    for (shell, begins) in [("bash", "_updraft()"), ("zsh", "#compdef updraft"), ("fish", "complete -c updraft")] {
        let finished = place.updraft(&["completions", shell]);
        assert_eq!((finished.code(), finished.err.as_str()), (Some(0), ""), "{shell}");
        assert!(finished.out.contains(begins), "{shell}: {}", finished.out);
        assert!(!finished.out.contains("__child"), "{shell} offers a hidden command");
    }
}

#[test]
fn wrong_usage_is_bad_input() {
    let place = Place::new(&[]);
    let all: String = [
        vec!["rnu"],
        vec!["run"],
        vec!["run", "a.yaml", "--resume"],
        vec!["run", "--resume", "-p", "a=1"],
        vec!["run", "a.yaml", "--logical-date", "tomorrow"],
        vec!["tasks"],
        vec!["runs", "--state", "done"],
    ]
    .iter()
    .map(|arguments| {
        let finished = place.updraft(arguments);
        assert_eq!((finished.code(), finished.out.as_str()), (Some(2), ""), "{arguments:?}");
        crate::cli_support::transcript(arguments, &finished) + "\n"
    })
    .collect();
    place.settings().bind(|| assert_snapshot!(all));
}
