//! versitygw and MinIO.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests say what they expect")]

use std::{path::PathBuf, sync::Barrier, thread};

use updraft_testkit::services::{
    Kind, Own,
    s3::{self, Bucket, Client, Precondition, Versitygw},
};

/// What every S3 server must do right for a lake to be safe on it.
fn conditional_puts_have_one_winner(bucket: &Bucket) {
    let (client, name) = (bucket.client(), bucket.name());
    let put =
        |key: &str, body: &str, condition: Precondition<'_>| client.put(name, key, body.as_bytes(), condition).unwrap();
    assert_eq!(put("a", "1", Precondition::Absent).status, 200);
    assert_eq!(put("a", "2", Precondition::Absent).status, 412);
    let first = put("b", "1", Precondition::None);
    let tag = first.headers["etag"].to_str().unwrap().to_owned();
    assert_eq!(put("b", "2", Precondition::Tag(&tag)).status, 200);
    assert_eq!(put("b", "3", Precondition::Tag(&tag)).status, 412);
    assert_eq!(client.get(name, "b").unwrap().text(), "2");
    for round in 0..4 {
        let key = format!("race/{round}");
        let start = Barrier::new(8);
        let mut statuses: Vec<u16> = thread::scope(|scope| {
            let writer = |i: usize| {
                start.wait();
                put(&key, &i.to_string(), Precondition::Absent).status
            };
            let writers: Vec<_> = (0..8).map(|i| scope.spawn(move || writer(i))).collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        statuses.sort_unstable();
        assert_eq!(statuses[0], 200, "{statuses:?}");
        assert!(statuses[1..].iter().all(|status| [409, 412].contains(status)), "{statuses:?}");
    }
}

fn strangers_are_refused(bucket: &Bucket) {
    let stranger: Client = bucket.client().clone().with_secret("wrong");
    assert_eq!(stranger.get(bucket.name(), "a").unwrap().status, 403);
    assert_eq!(stranger.put(bucket.name(), "a", b"x", Precondition::None).unwrap().status, 403);
}

#[test]
fn versitygw_keeps_objects_and_conditions() {
    let Some(bucket) = s3::fresh_bucket().unwrap() else { return };
    conditional_puts_have_one_winner(&bucket);
    strangers_are_refused(&bucket);
    let keys = bucket.client().list(bucket.name(), "race/").unwrap();
    assert_eq!(keys, ["race/0", "race/1", "race/2", "race/3"]);
    assert_eq!(bucket.client().get(bucket.name(), "none").unwrap().status, 404);
    let (client, name) = (bucket.client().clone(), bucket.name().to_owned());
    drop(bucket);
    assert_eq!(client.get(&name, "a").unwrap().status, 404, "the bucket is gone with its value");
}

/// A folder cannot be a file: layouts of keys must not need it, and a lake's must be tested on this server.
#[test]
fn on_versitygw_a_key_is_either_file_or_folder() {
    let Some(bucket) = s3::fresh_bucket().unwrap() else { return };
    let put = |key: &str| bucket.client().put(bucket.name(), key, b"x", Precondition::None).unwrap();
    assert_eq!(put("ff").status, 200);
    let refused = put("ff/x");
    assert!(refused.status >= 400 && refused.text().contains("ObjectParentIsFile"), "{}", refused.text());
}

#[test]
fn what_versitygw_has_acknowledged_outlives_stop_and_kill() {
    let Some(mut server) = s3::own_server().unwrap() else { return };
    let client = server.address().client();
    client.create_bucket("lake").unwrap();
    let ends: [fn(&mut Own<Versitygw>) -> anyhow::Result<()>; 2] = [Own::stop, Own::kill];
    for (i, end) in ends.into_iter().enumerate() {
        let key = format!("k{i}");
        client.put("lake", &key, b"kept", Precondition::Absent).unwrap().ok().unwrap();
        end(&mut server).unwrap();
        assert!(client.get("lake", &key).is_err(), "nobody listens");
        server.start_again().unwrap();
        assert_eq!(client.get("lake", &key).unwrap().text(), "kept");
    }
    ends_with_its_value(server);
}

fn ends_with_its_value<K: Kind>(server: Own<K>) {
    let (process, folder) = (PathBuf::from(format!("/proc/{}", server.pid().unwrap())), server.folder().to_owned());
    assert!(process.exists());
    drop(server);
    assert!(!process.exists() && !folder.exists());
}

#[test]
fn minio_keeps_objects_and_conditions_and_hides_what_is_below_a_file() {
    let Some(server) = s3::minio().unwrap() else { return };
    let bucket = server.fresh_bucket().unwrap();
    conditional_puts_have_one_winner(&bucket);
    strangers_are_refused(&bucket);
    let (client, name) = (bucket.client(), bucket.name());
    for key in ["ff", "ff/x"] {
        client.put(name, key, b"x", Precondition::None).unwrap().ok().unwrap();
        assert_eq!(client.get(name, key).unwrap().text(), "x");
    }
    // It keeps both, and lists the second to nobody: what lies below a file would be an orphan for ever.
    assert_eq!(client.list(name, "ff").unwrap(), ["ff"]);
    assert_eq!(client.list(name, "ff/").unwrap(), Vec::<String>::new());
    client.delete(name, "ff/x").unwrap();
}

#[test]
fn minio_is_killed_and_started_again() {
    let Some(mut server) = s3::own_minio().unwrap() else { return };
    let client = server.address().client();
    client.create_bucket("lake").unwrap();
    client.put("lake", "k", b"kept", Precondition::None).unwrap().ok().unwrap();
    server.kill().unwrap();
    server.start_again().unwrap();
    assert_eq!(client.get("lake", "k").unwrap().text(), "kept");
    ends_with_its_value(server);
}
