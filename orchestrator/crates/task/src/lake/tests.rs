//! One suite for local files, S3 on versitygw and on MinIO, and memory; the last two take keys that the others refuse.

use std::sync::Arc;

use futures::future::join_all;
use object_store::memory::InMemory;
use serde_json::json;
use tempfile::TempDir;
use updraft_testkit::services::s3::{self, Bucket};

use super::*;
use crate::Format;

/// A lake that goes with its place.
struct Place {
    name: &'static str,
    lake: Lake,
    folder: Option<TempDir>,
    bucket: Option<Bucket>,
}

fn s3_lake(bucket: &Bucket, prefix: &str) -> LakeConnection {
    serde_json::from_value(bucket.lake_fields(prefix)).unwrap()
}

/// All that can be had here; S3 both with a prefix and without.
fn places() -> Vec<Place> {
    let folder = tempfile::tempdir().unwrap();
    let local: LakeConnection = serde_json::from_value(json!({ "url": "lake" })).unwrap();
    let lake = Lake::open(&local, folder.path()).unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let memory = Lake { copier: Arc::clone(&store), store, root: "memory://".to_owned() };
    let mut places = vec![
        Place { name: "files", lake, folder: Some(folder), bucket: None },
        Place { name: "memory", lake: memory, folder: None, bucket: None },
    ];
    for (name, prefix, server) in [
        ("s3", "", s3::server()),
        ("s3 with a prefix", "/in/here/", s3::server()),
        ("minio", "", s3::minio()),
        ("minio with a prefix", "/in/here/", s3::minio()),
    ] {
        let Some(server) = server.unwrap() else { continue };
        let bucket = server.fresh_bucket().unwrap();
        let lake = Lake::open(&s3_lake(&bucket, prefix), Path::new("/")).unwrap();
        places.push(Place { name, lake, folder: None, bucket: Some(bucket) });
    }
    places
}

fn dataset(uri: &str, bytes: &[u8]) -> Dataset {
    Dataset::of_bytes(uri, Format::Bytes, 1, bytes)
}

/// Bytes that differ everywhere, so that a part in the wrong place shows.
fn large() -> Bytes {
    let words = (PART_BYTES * 2 + 4_096) / 8;
    (0..words as u64)
        .flat_map(|word| word.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes())
        .collect::<Vec<u8>>()
        .into()
}

fn keys(listed: Vec<(String, u64)>) -> Vec<String> {
    listed.into_iter().map(|(key, _)| key).collect()
}

#[tokio::test]
async fn objects_are_written_read_listed_and_deleted() {
    for Place { name, lake, folder: _folder, bucket: _bucket } in places() {
        assert_eq!(lake.find("a/b").await.unwrap(), None, "{name}");
        assert_eq!(lake.get("a/b").await.unwrap_err().class(), "NotFound", "{name}");
        assert_eq!(lake.list("").await.unwrap(), [], "{name}");
        lake.put("a/b", "1").await.unwrap();
        lake.put("a/b", "22").await.unwrap();
        lake.put("a/c=ü d/e+f", "3").await.unwrap();
        lake.put("ab/c", "4").await.unwrap();
        assert_eq!(lake.get("a/b").await.unwrap(), "22", "{name}");
        assert_eq!(lake.size("a/b").await.unwrap(), Some(2), "{name}");
        let under_a = [("a/b".to_owned(), 2), ("a/c=ü d/e+f".to_owned(), 1)];
        assert_eq!(lake.list("a").await.unwrap(), under_a, "{name}");
        assert_eq!(lake.list("a/").await.unwrap(), under_a, "{name}");
        assert_eq!(lake.list("a/b").await.unwrap(), [], "{name}: an object is not below itself");
        assert_eq!(keys(lake.list("").await.unwrap()), ["a/b", "a/c=ü d/e+f", "ab/c"], "{name}");
        assert_eq!((lake.find("a").await.unwrap(), lake.size("a").await.unwrap()), (None, None), "{name}: a folder");
        assert_eq!(lake.find("a/b/c").await.unwrap(), None, "{name}: below an object");
        for at in ["a/b", "a/b", "a/c=ü d/e+f"] {
            lake.delete(at).await.unwrap();
        }
        assert_eq!(lake.find("a/b").await.unwrap(), None, "{name}");
    }
}

#[tokio::test]
async fn one_of_many_conditional_puts_wins_and_the_object_is_the_winners() {
    for Place { name, lake, folder: _folder, bucket: _bucket } in places() {
        let puts = join_all((0..16).map(|n| {
            let lake = lake.clone();
            async move { lake.put_if_absent("race/one", n.to_string()).await.unwrap() }
        }))
        .await;
        let winners: Vec<usize> = (0..16).filter(|&n| puts[n] == Put::Written).collect();
        let [winner] = winners[..] else { panic!("{name}: {winners:?} won") };
        assert_eq!(lake.get("race/one").await.unwrap(), winner.to_string(), "{name}");
    }
}

#[tokio::test]
async fn large_objects_go_in_parts_and_keep_the_same_promises() {
    let (bytes, other) = (large(), Bytes::from(vec![1; PART_BYTES + 1]));
    for Place { name, lake, folder: _folder, bucket } in places() {
        lake.put("big/one", other.clone()).await.unwrap();
        lake.put("big/one", bytes.clone()).await.unwrap();
        assert_eq!(lake.sum("big/one").await.unwrap(), sha256_hex(&bytes), "{name}");
        assert_eq!(lake.put_if_absent("big/one", other.clone()).await.unwrap(), Put::Exists, "{name}");
        let puts = join_all((0..3).map(|_| lake.put_if_absent("big/two", bytes.clone()))).await;
        let won = puts.into_iter().filter(|put| *put.as_ref().unwrap() == Put::Written).count();
        assert_eq!(won, 1, "{name}");
        assert_eq!(lake.sum("big/two").await.unwrap(), sha256_hex(&bytes), "{name}");
        assert_eq!(keys(lake.list("").await.unwrap()), ["big/one", "big/two"], "{name}: nothing is left behind");
        drop(bucket);
    }
}

#[tokio::test]
async fn a_copy_appears_only_if_its_sum_is_right() {
    let large = large();
    for Place { name, lake, folder, bucket: _bucket } in places() {
        for bytes in [Bytes::from_static(b"small"), large.clone()] {
            lake.put("in/one", bytes.clone()).await.unwrap();
            let one = dataset("in/one", &bytes);
            assert_eq!(lake.copy_from(&lake, &one, "out/one").await.unwrap(), Put::Written, "{name}");
            assert_eq!(lake.copy_from(&lake, &one, "out/one").await.unwrap(), Put::Exists, "{name}");
            assert_eq!(lake.sum("out/one").await.unwrap(), one.sha256, "{name}");
            let changed = Dataset { sha256: sha256_hex(b"other"), ..one.clone() };
            for error in
                [lake.copy_from(&lake, &changed, "out/two").await.unwrap_err(), lake.read(&changed).await.unwrap_err()]
            {
                assert_eq!(error.class(), "CorruptDataset", "{name}");
            }
            assert_eq!(keys(lake.list("").await.unwrap()), ["in/one", "out/one"], "{name}");
            lake.delete("out/one").await.unwrap();
            let scratch = tempfile::tempdir().unwrap();
            let file = scratch.path().join("copy");
            lake.download(&one, &file).await.unwrap();
            assert_eq!(std::fs::read(&file).unwrap(), bytes, "{name}");
            assert_eq!(lake.download(&changed, &file).await.unwrap_err().class(), "CorruptDataset", "{name}");
        }
        drop(folder);
    }
}

#[tokio::test]
async fn a_file_takes_the_place_of_what_was_there_whatever_its_size() {
    let scratch = tempfile::tempdir().unwrap();
    for Place { name, lake, folder, bucket } in places() {
        for bytes in [large(), Bytes::from_static(b"small"), Bytes::new()] {
            let file = scratch.path().join("file");
            std::fs::write(&file, &bytes).unwrap();
            let put = lake.put_file("out/one", &file).await.unwrap();
            assert_eq!(put, (bytes.len() as u64, sha256_hex(&bytes)), "{name}");
            assert_eq!(lake.sum("out/one").await.unwrap(), put.1, "{name}");
        }
        let error = lake.put_file("out/one", &scratch.path().join("none")).await.unwrap_err();
        assert_eq!(error.class(), "Lake", "{name}");
        assert_eq!(keys(lake.list("").await.unwrap()), ["out/one"], "{name}: nothing is left behind");
        drop((folder, bucket));
    }
}

#[tokio::test]
async fn a_key_is_either_an_object_or_a_folder() {
    // Memory and MinIO keep both, so that no layout may need it.
    let strict = places().into_iter().filter(|it| it.name != "memory" && !it.name.starts_with("minio"));
    for Place { name, lake, folder: _folder, bucket: _bucket } in strict {
        lake.put("file", "1").await.unwrap();
        lake.put("folder/below", "2").await.unwrap();
        for at in ["file/below", "folder"] {
            for error in [lake.put(at, "x").await.unwrap_err(), lake.put_if_absent(at, "x").await.unwrap_err()] {
                assert_eq!(
                    (error.class(), error.verdict()),
                    ("BadKey", &crate::Verdict::Fail),
                    "{name}, {at}: {error}"
                );
            }
        }
        assert_eq!(lake.get("file").await.unwrap(), "1", "{name}");
        assert_eq!(lake.get("folder/below").await.unwrap(), "2", "{name}");
        // A folder ends with its last object.
        lake.delete("folder/below").await.unwrap();
        if lake.root().contains("://") {
            lake.put("folder", "3").await.unwrap();
        }
    }
}

#[tokio::test]
async fn keys_that_no_store_takes_are_refused_everywhere() {
    let long = format!("a/{}", "x".repeat(256));
    for Place { name, lake, folder: _folder, bucket: _bucket } in places() {
        for at in ["", "/", "a//b", "a/../b", "./a", long.as_str(), &"abc/".repeat(300)] {
            assert_eq!(lake.put(at, "x").await.unwrap_err().class(), "BadKey", "{name}: {at}");
            assert_eq!(lake.find(at).await.unwrap_err().class(), "BadKey", "{name}: {at}");
        }
    }
}

#[tokio::test]
async fn a_lake_that_is_not_there_or_refuses_says_so() {
    for server in [s3::server(), s3::minio()] {
        let Some(server) = server.unwrap() else { continue };
        let bucket = server.fresh_bucket().unwrap();
        let good = s3_lake(&bucket, "");
        let class = async |connection: LakeConnection| {
            let lake = Lake::open(&connection, Path::new("/")).unwrap();
            [lake.find("a").await.unwrap_err(), lake.put("a", "1").await.unwrap_err(), lake.list("").await.unwrap_err()]
                .map(|error| {
                    assert!(!error.message().contains(&bucket.address().secret_access_key), "{error}");
                    error.class().to_owned()
                })
        };
        let missing = LakeConnection { url: format!("s3://{}-not-there", bucket.name()), ..good.clone() };
        assert_eq!(class(missing).await, ["BadConnection"; 3]);
        let wrong: LakeConnection = serde_json::from_value(json!({
            "url": good.url, "endpoint": good.endpoint, "access_key_id": "updraft", "secret_access_key": "wrong", "allow_http": true,
        }))
        .unwrap();
        assert_eq!(class(wrong).await, ["LakeDenied"; 3]);
    }
}

#[test]
fn connections_that_cannot_work_are_refused_before_a_call() {
    for (entry, part) in [
        (json!({ "url": "s3://" }), "no bucket"),
        (json!({ "url": "s3://b", "access_key_id": "a" }), "secret_access_key"),
        (json!({ "url": "s3://b", "secret_access_key": "a" }), "access_key_id"),
        (json!({ "url": "s3://b", "endpoint": "http://127.0.0.1:1" }), "allow_http"),
        (json!({ "url": "gs://b" }), "gs://"),
    ] {
        let connection: LakeConnection = serde_json::from_value(entry).unwrap();
        let error = Lake::open(&connection, Path::new("/")).err().unwrap();
        assert!(error.class() == "BadConnection" && error.message().contains(part), "{error}");
    }
}
