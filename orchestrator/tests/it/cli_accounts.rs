//! Users, tokens, connections and the audit log from the command line, beside a daemon and from afar.

use std::time::{Duration, Instant};

use serde_json::Value;
use updraft_testkit::process::{Finished, PATIENCE};

use crate::cli_support::{CHAIN, Dev, Place, WAITS};

fn place() -> Place {
    let place = Place::new(&[]);
    place.write("workflows/chain.yaml", CHAIN);
    place.write("workflows/waits.yaml", WAITS);
    place
}

/// It ends with this code, and says these words.
#[track_caller]
fn ends(finished: &Finished, code: i32, words: &[&str]) {
    assert_eq!(finished.code(), Some(code), "{}\n{}", finished.out, finished.err);
    for word in words {
        assert!(
            finished.out.contains(word) || finished.err.contains(word),
            "{word}:\n{}\n{}",
            finished.out,
            finished.err
        );
    }
}

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect()
}

#[test]
fn users_and_tokens_are_made_changed_and_ended_and_the_audit_log_says_so() {
    let place = place();
    let dev = Dev::start(&place);
    let added = place.json(&["users", "add", "grace", "--role", "operator", "--reason", "a new colleague", "--json"]);
    assert_eq!((&added["name"], &added["role"]), (&"grace".into(), &"operator".into()));
    let link = added["link"].as_str().unwrap();
    assert!(link.contains("/setup?token=") && link.contains("grace"), "{link}");
    ends(&place.updraft(&["users", "add", "grace"]), 2, &["there is a user `grace` already"]);
    ends(&place.updraft(&["users", "add", "Grace H"]), 2, &["cannot be a name"]);
    let changed = place.json(&["users", "set", "grace", "--role", "editor", "--disable", "--json"]);
    assert_eq!((&changed["role"], &changed["disabled"]), (&"editor".into(), &true.into()));
    ends(&place.updraft(&["users", "set", "grace"]), 2, &["nothing to change", "--role"]);
    assert_eq!(names(&place.json(&["users", "--json"])), ["grace"]);
    ends(&place.updraft(&["users", "list"]), 0, &["grace", "editor", "shut out"]);

    let made = place.json(&["tokens", "create", "--role", "admin", "--name", "ci", "--expires-in", "1h", "--json"]);
    let (id, token) = (made["id"].as_str().unwrap(), made["token"].as_str().unwrap());
    assert_eq!((&made["role"], token.starts_with("upd_")), (&"admin".into(), true), "{made}");
    ends(&place.updraft(&["tokens", "create", "--scope", "fly"]), 2, &["there is no scope `fly`"]);
    ends(&place.updraft(&["tokens", "create", "--expires-in", "5"]), 2, &["no unit"]);
    let listed = place.updraft(&["tokens", "list"]);
    ends(&listed, 0, &["ci", "admin", id]);
    assert!(!listed.out.contains(token), "{}", listed.out);

    let with = |token: &str, arguments: &[&str]| {
        let all = [arguments, &["--server", &dev.url]].concat();
        place.program(&all).env("UPDRAFT_TOKEN", token).run().unwrap()
    };
    ends(&with(token, &["users"]), 0, &["grace"]);
    ends(&place.updraft(&["tokens", "revoke", id]), 0, &["counts no more"]);
    ends(&with(token, &["users"]), 2, &["this needs a login or a token"]);
    ends(&place.updraft(&["users", "remove", "grace"]), 0, &["grace is removed"]);
    ends(&place.updraft(&["users", "remove", "grace"]), 2, &["there is no user `grace`"]);

    let log = place.json(&["audit", "--json"]);
    let did: Vec<(&str, &str)> = log["items"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|entry| (entry["action"].as_str().unwrap(), entry["subject"].as_str().unwrap()))
        .collect();
    let expected = [
        ("user.add", "grace"),
        ("user.change", "grace"),
        ("token.create", id),
        ("token.revoke", id),
        ("user.remove", "grace"),
    ];
    assert_eq!(did, expected);
    let first = place.json(&["audit", "list", "--action", "user.add", "--json"])["items"][0].clone();
    assert_eq!((&first["reason"], &first["from"]), (&"a new colleague".into(), &"socket".into()), "{first}");
    assert!(first["actor"].as_str().unwrap().contains("ada"), "{first}");
    assert!(!log.to_string().contains(token), "a token is in the audit log");
    let page = place.json(&["audit", "list", "-n", "2", "--json"]);
    let next = page["next"].as_str().unwrap();
    assert_eq!(place.json(&["audit", "list", "-n", "2", "--cursor", next, "--json"])["items"][0]["seq"], 3);
    ends(&place.updraft(&["audit", "verify"]), 0, &["5 entries, each as it was written"]);
    dev.stop();
}

#[test]
fn a_connection_is_written_tested_and_sealed_anew_and_its_secret_is_never_shown() {
    let place = place();
    let dev = Dev::start(&place);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let base = format!("base_url=http://{address}");
    ends(&place.updraft(&["connections", "set", "shop", &base]), 2, &["give its --kind", "http"]);
    ends(&place.updraft(&["connections", "set", "shop", "--kind", "http", &base]), 0, &["connection shop is written"]);
    ends(&place.updraft(&["connections", "set", "shop", "token=abc"]), 2, &["is secret", "--secret token"]);
    ends(&place.updraft(&["connections", "set", "shop", "colour=red"]), 2, &["no field `colour`", "base_url"]);
    let mut secret = place.start(&["connections", "set", "shop", "--secret", "token"]);
    secret.write("a-very-secret-thing\n").unwrap();
    secret.close_input();
    ends(&secret.wait(PATIENCE).unwrap(), 0, &["connection shop is written"]);
    let listed = place.json(&["connections", "--json"]);
    let shop = listed["items"].as_array().unwrap().iter().find(|one| one["name"] == "shop").unwrap();
    let field = |name: &str| shop["fields"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap().clone();
    assert_eq!((&field("token")["set"], &field("token")["value"]), (&true.into(), &Value::Null));
    // What was written before stays when something else is written.
    assert_eq!(field("base_url")["value"], format!("http://{address}"));
    assert!(!listed.to_string().contains("a-very-secret-thing"));
    ends(&place.updraft(&["connections", "test", "shop"]), 0, &[&address.to_string()]);
    drop(listener);
    ends(&place.updraft(&["connections", "test", "shop"]), 3, &["do not answer"]);
    let log = place.json(&["audit", "list", "--subject", "shop", "--json"]).to_string();
    assert!(!log.contains("a-very-secret-thing"), "{log}");
    // The master keys are the daemon's while it runs.
    ends(&place.updraft(&["connections", "rotate"]), 3, &["is held by process"]);
    dev.stop();

    ends(&place.updraft(&["connections", "rotate"]), 0, &["sealed anew", "1 were already"]);
    let bytes = std::fs::read(place.path(".updraft/updraft.db")).unwrap();
    assert!(!bytes.windows(19).any(|part| part == b"a-very-secret-thing"), "the secret is plain in the store");
    let dev = Dev::start(&place);
    ends(&place.updraft(&["connections", "remove", "shop"]), 0, &["is removed"]);
    ends(&place.updraft(&["connections", "remove", "shop"]), 2, &["there is no connection `shop`"]);
    dev.stop();
}

/// Answers every request with an empty object, and says with which `Authorization`.
fn answering() -> (std::net::SocketAddr, std::sync::mpsc::Receiver<String>) {
    use std::io::{BufRead as _, BufReader, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, (told, heard)) = (listener.local_addr().unwrap(), std::sync::mpsc::channel());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let head = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let head: Vec<String> = head.take_while(|line| !line.is_empty()).collect();
            let found = head.iter().find(|line| line.to_lowercase().starts_with("authorization:"));
            let _ = told.send(found.cloned().unwrap_or_default());
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}");
        }
    });
    (address, heard)
}

#[test]
fn a_connection_of_the_store_reaches_a_run_in_the_foreground() {
    let place = place();
    place.write("calls.yaml", "id: calls\ntasks: [{id: call, type: http.request, conn: shop}]\n");
    let unknown = place.updraft(&["run", "calls.yaml"]);
    ends(&unknown, 2, &["shop"]);
    assert!(!place.path(".updraft").exists(), "a refused run made a store");
    let (address, heard) = answering();
    let dev = Dev::start(&place);
    let base = format!("base_url=http://{address}");
    ends(&place.updraft(&["connections", "set", "shop", "--kind", "http", &base]), 0, &["is written"]);
    let mut secret = place.start(&["connections", "set", "shop", "--secret", "token"]);
    secret.write("a-very-secret-thing\n").unwrap();
    secret.close_input();
    ends(&secret.wait(PATIENCE).unwrap(), 0, &["is written"]);
    dev.stop();
    ends(&place.updraft(&["run", "calls.yaml"]), 0, &["call", "succeeded"]);
    assert!(heard.recv().unwrap().ends_with("Bearer a-very-secret-thing"));
    assert!(!place.updraft(&["logs", "latest"]).out.contains("a-very-secret-thing"));
}

#[test]
fn a_server_from_afar_is_asked_with_a_token_and_answers_as_the_store_would() {
    let (place, elsewhere) = (place(), Place::new(&[]));
    let dev = Dev::start(&place);
    let token = place.json(&["tokens", "create", "--role", "operator", "--json"])["token"].as_str().unwrap().to_owned();
    let far = |arguments: &[&str]| {
        let all = [arguments, &["--server", &dev.url]].concat();
        elsewhere.program(&all).env("UPDRAFT_TOKEN", &token).run().unwrap()
    };
    let far_json = |arguments: &[&str]| -> Value {
        let finished = far(&[arguments, &["--json"]].concat());
        serde_json::from_str(&finished.out)
            .unwrap_or_else(|_| panic!("{arguments:?}: {}\n{}", finished.out, finished.err))
    };
    ends(&far(&["workflows"]), 0, &["chain", "waits"]);
    let ended = far_json(&["trigger", "chain", "-p", "name=you", "--wait"]);
    assert_eq!((&ended["state"], &ended["params"]["name"]), (&"succeeded".into(), &"you".into()));
    let run = ended["id"].as_str().unwrap();
    assert_eq!(far_json(&["runs"])["items"][0]["id"], run);
    ends(&far(&["runs", "show", &run[..18]]), 0, &["greet", "succeeded"]);
    ends(&far(&["tasks", run]), 0, &["start", "greet", "end"]);
    ends(&far(&["logs", run, "greet"]), 0, &["hello you"]);
    ends(&far(&["cancel", run]), 2, &["the run is over"]);
    ends(&far(&["retry", run]), 2, &["there is nothing to run again"]);
    let again = far_json(&["retry", run, "--all", "--dry-run"]);
    assert_eq!(again["tasks"].as_array().unwrap().len(), 3, "{again}");

    let waits = far_json(&["trigger", "waits"])["id"].as_str().unwrap().to_owned();
    ends(&far(&["cancel", &waits, "--reason", "enough"]), 0, &[]);
    let begin = Instant::now();
    while far_json(&["runs", "show", &waits])["state"] != "cancelled" {
        assert!(begin.elapsed() < PATIENCE, "{}", far_json(&["runs", "show", &waits]));
        std::thread::sleep(Duration::from_millis(50));
    }
    ends(
        &far(&["mark", &waits, "succeeded", "--task", "waiting", "--reason", "by hand", "--dry-run"]),
        0,
        &["waiting"],
    );
    ends(&far(&["mark", &waits, "succeeded", "--task", "waiting", "--reason", "by hand"]), 0, &[]);
    assert_eq!(far_json(&["pause", "chain"])["paused"], true);
    assert_eq!(far_json(&["unpause", "chain"])["paused"], false);
    ends(&far(&["users"]), 2, &["this needs the permission `users`"]);
    let denied = place.json(&["audit", "list", "--action", "access.denied", "--json"])["items"][0].clone();
    assert_eq!(denied["subject"], "/api/v1/users", "{denied}");
    let wrong = elsewhere.program(&["workflows", "--server", &dev.url]).env("UPDRAFT_TOKEN", "upd_wrong");
    ends(&wrong.run().unwrap(), 2, &["this needs a login or a token"]);
    let cancelled = place.json(&["audit", "list", "--action", "run.cancel", "--json"])["items"][0].clone();
    assert_eq!((&cancelled["reason"], &cancelled["from"]), (&"enough".into(), &"127.0.0.1".into()), "{cancelled}");
    dev.stop();
}
