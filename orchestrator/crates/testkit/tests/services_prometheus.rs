//! Prometheus, and what it scrapes.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests say what they expect")]

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use updraft_testkit::{
    process::{PATIENCE, Program},
    services::{Own, prometheus},
};

/// A program with one metric, for as long as the test runs; its address.
fn program() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let request = BufReader::new(stream.try_clone().unwrap());
            request.lines().map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
            let body = "# TYPE kettles counter\nkettles_total{state=\"hot\"} 3\n";
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close\r\n";
            write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).ok();
        }
    });
    address
}

fn wait_for(server: &prometheus::Address, expression: &str) -> serde_json::Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = server.query(expression).unwrap().into_iter().next() {
            return found;
        }
        assert!(Instant::now() < deadline, "no sample of {expression}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_is_watched_can_be_asked_for() {
    let Some(server) = prometheus::server().unwrap() else { return };
    let address = program();
    let job = updraft_testkit::services::unique();
    let target = server.watch(&job, &address).unwrap();
    let found = wait_for(&server, &format!("kettles_total{{job=\"{job}\"}}"));
    assert_eq!((&found["value"][1], &found["metric"]["instance"]), (&"3".into(), &address.as_str().into()));
    let wrong = server.query("kettles_total{").unwrap_err();
    assert!(format!("{wrong:#}").contains("bad_data"), "{wrong:#}");
    drop(target);
    let deadline = Instant::now() + PATIENCE;
    while !server.query(&format!("up{{job=\"{job}\"}}")).unwrap().is_empty() {
        assert!(Instant::now() < deadline, "it is scraped still");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn it_is_killed_and_started_again_and_nothing_stays_behind() {
    let Some(mut server) = prometheus::own_server().unwrap() else { return };
    let _target = server.address().watch("kettle", &program()).unwrap();
    wait_for(server.address(), "kettles_total");
    let ends: [fn(&mut Own<prometheus::Prometheus>) -> anyhow::Result<()>; 2] = [Own::stop, Own::kill];
    for end in ends {
        end(&mut server).unwrap();
        assert!(server.address().query("up").is_err(), "nobody listens");
        server.start_again().unwrap();
        wait_for(server.address(), "kettles_total");
    }
    let (process, folder) = (PathBuf::from(format!("/proc/{}", server.pid().unwrap())), server.folder().to_owned());
    drop(server);
    assert!(!process.exists() && !folder.exists());
}

#[test]
fn the_settings_pass_promtool() {
    let Some(programs) = prometheus::programs().unwrap() else { return };
    let settings = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../deploy/prometheus/prometheus.yml");
    let finished = Program::new(programs.promtool()).args(["check", "config"]).arg(settings).run().unwrap();
    assert_eq!(finished.code(), Some(0), "{}{}", finished.out, finished.err);
}
