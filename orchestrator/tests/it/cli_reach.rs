//! One command, three ways: the store itself, the socket beside it, a server with a token. Each prints the same, and what it
//! prints is what the API's own document says.

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use updraft_testkit::process::{Finished, PATIENCE, Running, Stream};

use crate::cli_support::{CHAIN, Dev, MIXED, Place, WAITS};

/// A command, and the shape of the contract that it prints; of an NDJSON command, the shape of each line.
const COMMANDS: [(&[&str], &str); 20] = [
    (&["runs"], "RunPage"),
    (&["runs", "--state", "failed", "--workflow", "mixed"], "RunPage"),
    (&["runs", "--sort", "created_at", "-n", "1"], "RunPage"),
    (&["runs", "--since", "2020-01-01", "--until", "2100-01-01", "--by", "logical", "--trigger", "manual"], "RunPage"),
    (&["runs", "--search", "chain"], "RunPage"),
    (&["runs", "show", "latest"], "Run"),
    (&["runs", "show", "RUN"], "Run"),
    (&["runs", "show", "PREFIX"], "Run"),
    (&["runs", "show", "RUN", "--events"], "EventPage"),
    (&["tasks", "latest"], "TaskPage"),
    (&["tasks", "RUN", "greet"], "TaskRunView"),
    (&["logs", "latest", "fails"], "LogLine"),
    (&["logs", "latest", "fails", "--level", "error"], "LogLine"),
    (&["logs", "RUN", "greet", "--tail", "1"], "LogLine"),
    (&["logs", "RUN", "greet", "-f"], "LogLine"),
    (&["workflows", "--sort", "name"], "WorkflowPage"),
    (&["schedules", "next", "hourly", "-n", "2"], "SchedulePreview"),
    (&["connections"], "ConnectionList"),
    (&["users"], "UserPage"),
    (&["retry", "RUN", "--all", "--dry-run"], "Plan"),
];

fn place() -> Place {
    let place = Place::new(&[]);
    place.write("workflows/chain.yaml", CHAIN);
    place.write("workflows/mixed.yaml", MIXED);
    place.write(
        "workflows/hourly.yaml",
        "id: hourly\nschedule: '@hourly'\npaused: true\ntasks: [{id: a, type: noop}]\n",
    );
    place
}

/// Shapes of the API's own document, as `$defs` of one schema.
fn validator(shape: &str) -> jsonschema::Validator {
    let document: Value = serde_json::from_str(&updraft_api::openapi_json()).unwrap();
    let schemas = document["components"]["schemas"].to_string().replace("#/components/schemas/", "#/$defs/");
    let schemas: Value = serde_json::from_str(&schemas).unwrap();
    assert!(schemas.get(shape).is_some(), "the contract has no {shape}");
    let schema = json!({ "$ref": format!("#/$defs/{shape}"), "$defs": schemas });
    jsonschema::validator_for(&schema).unwrap()
}

#[track_caller]
fn fits(shape: &str, out: &str, what: &[&str]) {
    let validator = validator(shape);
    let documents: Vec<Value> =
        serde_json::Deserializer::from_str(out).into_iter::<Value>().map(|one| one.unwrap()).collect();
    assert!(!documents.is_empty(), "{what:?} prints nothing");
    for document in &documents {
        let wrong: Vec<String> = validator.iter_errors(document).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{what:?} prints no {shape}: {wrong:?}\n{document:#}");
    }
}

#[track_caller]
fn well(finished: &Finished, what: &[&str]) -> String {
    assert_eq!(finished.code(), Some(0), "{what:?}\n{}\n{}", finished.out, finished.err);
    finished.out.clone()
}

#[test]
fn every_way_prints_the_same_and_it_is_the_contracts() {
    let place = place();
    let daemon = Dev::start(&place);
    let run = place.json(&["trigger", "chain", "--wait", "--json"])["id"].as_str().unwrap().to_owned();
    assert_eq!(place.updraft(&["trigger", "mixed", "--wait"]).code(), Some(1));
    let token = place.json(&["tokens", "create", "--role", "admin", "--json"])["token"].as_str().unwrap().to_owned();
    let commands = COMMANDS.map(|(words, shape)| {
        let named = |word: &&'static str| match *word {
            "RUN" => run.clone(),
            "PREFIX" => run[..35].to_owned(),
            other => other.to_owned(),
        };
        (words.iter().map(named).chain(["--json".to_owned()]).collect::<Vec<String>>(), shape)
    });
    let elsewhere = Place::new(&[]);
    let mut beside = Vec::new();
    for (words, shape) in &commands {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let by_socket = well(&place.updraft(&words), &words);
        let far = [&words[..], &["--server", &daemon.url]].concat();
        let far = elsewhere.program(&far).env("UPDRAFT_TOKEN", &token).run().unwrap();
        assert_eq!(well(&far, &words), by_socket, "{words:?} from afar");
        fits(shape, &by_socket, &words);
        beside.push(by_socket);
    }
    let of_file = ["schedules", "next", "workflows/hourly.yaml", "-n", "2", "--json"];
    fits("SchedulePreview", &well(&place.updraft(&of_file), &of_file), &of_file);
    daemon.stop();
    for ((words, _), by_socket) in commands.iter().zip(&beside) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_eq!(well(&place.updraft(&words), &words), *by_socket, "{words:?} on the store itself");
    }
}

#[test]
fn beside_a_run_in_the_foreground_every_command_goes_through_its_socket() {
    let place = place();
    place.write("workflows/waits.yaml", WAITS);
    let running = place.start(&["run", "workflows/waits.yaml"]);
    running.wait_for_line(Stream::Err, |line| line.contains("waiting running")).unwrap();
    for words in [
        &["runs"][..],
        &["runs", "show", "latest"],
        &["runs", "show", "latest", "--events"],
        &["tasks", "latest"],
        &["tasks", "latest", "waiting"],
        &["logs", "latest"],
        &["logs", "latest", "before"],
        &["workflows"],
        &["schedules", "next"],
        &["schedules", "next", "waits"],
        &["status"],
        &["connections"],
        &["connections", "test", "lake"],
        &["users"],
        &["tokens"],
        &["audit"],
        &["audit", "verify"],
        &["pause", "waits"],
        &["unpause", "waits"],
        &["cancel", "latest", "--dry-run"],
        &["mark", "latest", "failed", "--dry-run"],
        &["migrate", "--status"],
        &["doctor"],
    ] {
        let finished = place.updraft(words);
        well(&finished, words);
        assert!(!finished.err.contains("locked") && !finished.err.contains("held"), "{words:?}: {}", finished.err);
    }
    let held = place.updraft(&["migrate"]);
    assert_eq!(held.code(), Some(3), "{}", held.out);
    assert!(held.err.contains(&format!("held by process {}", running.pid())), "{}", held.err);
    // Whoever waits goes on when the process that it asked has gone.
    let waits = place.start(&["logs", "latest", "waiting", "-f", "--json"]);
    waits.wait_for_line(Stream::Out, |line| line.contains("here")).unwrap();
    let cancelled = place.json(&["cancel", "latest", "--json"]);
    fits("Run", &cancelled.to_string(), &["cancel"]);
    assert_eq!(running.wait(PATIENCE).unwrap().code(), Some(4));
    let followed = waits.wait(PATIENCE).unwrap();
    assert_eq!(followed.code(), Some(0), "{}", followed.err);
    assert_eq!(place.json(&["runs", "show", "latest", "--json"])["state"], "cancelled");
}

#[test]
fn a_project_deep_in_folders_has_its_socket_too() {
    let outer = Place::new(&[]);
    let deep = format!("{}/project", ["a-long-name-of-a-folder"; 6].join("/"));
    outer.write(&format!("{deep}/workflows/chain.yaml"), CHAIN);
    let at = |arguments: &[&str]| outer.program(&[&["-C", &deep], arguments].concat());
    let running = at(&["dev", "--json", "--listen", "127.0.0.1:0"]).start().unwrap();
    running.wait_for_line(Stream::Out, |line| line.starts_with('{')).unwrap();
    let words = ["trigger", "chain", "--wait"];
    well(&at(&words).run().unwrap(), &words);
    running.signal(Signal::SIGINT).unwrap();
    assert_eq!(running.wait(PATIENCE).unwrap().code(), Some(0));
    well(&at(&["run", "workflows/chain.yaml"]).run().unwrap(), &["run"]);
}

#[test]
fn a_look_from_another_folder_leaves_nothing_there() {
    let (place, elsewhere) = (place(), Place::new(&[]));
    assert_eq!(place.updraft(&["run", "workflows/chain.yaml"]).code(), Some(0));
    let store = format!("sqlite:{}", place.path(".updraft/updraft.db").display());
    for words in [&["runs"][..], &["logs", "latest"], &["status"], &["retry", "latest", "--all", "--dry-run"]] {
        well(&elsewhere.updraft(&[words, &["--store", &store]].concat()), words);
    }
    assert!(!elsewhere.path(".updraft").exists(), "a look made a folder");
}

#[test]
fn what_a_killed_process_leaves_is_in_nobodys_way() {
    let place = place();
    place.write("workflows/waits.yaml", WAITS);
    let daemon = Dev::start(&place);
    let run = place.json(&["trigger", "waits", "--json"])["id"].as_str().unwrap().to_owned();
    let follower = place.start(&["logs", &run, "waiting", "-f"]);
    follower.wait_for_line(Stream::Out, |line| line.ends_with("here")).unwrap();
    follower.kill().unwrap();
    daemon.running.kill().unwrap();
    let sockets = || {
        let left = std::fs::read_dir(place.path(".updraft")).unwrap().flatten();
        left.filter(|entry| entry.path().extension().is_some_and(|end| end == "sock")).count()
    };
    assert_eq!(sockets(), 1, "a killed process cannot remove its socket");
    // Several at one time: the file is one's for a moment, and the others wait for it.
    let several: Vec<Running> = (0..4).map(|_| place.start(&["runs", "--json"])).collect();
    for one in several {
        let finished = one.wait(PATIENCE).unwrap();
        assert!(well(&finished, &["runs"]).contains(&run), "{}", finished.out);
    }
    assert_eq!(sockets(), 0);
    // What it had said and not yet shipped is read from where it lies.
    assert!(well(&place.updraft(&["logs", &run]), &["logs"]).contains("here"));
    // A run that nobody carries out any more is ended by the cancel itself.
    assert_eq!(place.json(&["cancel", &run, "--json"])["state"], "cancelled");
}
