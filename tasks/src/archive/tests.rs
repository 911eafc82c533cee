//! The archive, in local files and on S3.

use super::*;
use updraft_task::Format;
use updraft_task::testing::TestRun;

async fn dataset(lake: &Lake, uri: &str, bytes: &'static [u8]) -> Dataset {
    lake.put(uri, bytes).await.unwrap();
    Dataset::of_bytes(uri, Format::Bytes, 1, bytes)
}

fn params(input: Input) -> Params {
    Params { input, prefix: "archive/x".into(), at: Some("2025-12-02T09:34:39Z".into()) }
}

#[tokio::test]
async fn a_second_archive_of_the_same_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let run = TestRun::new(dir.path());
    let ctx = run.context("keep", 1, None);
    let lake = ctx.lake().unwrap();
    let input = Input::Many(vec![dataset(&lake, "a/one", b"1").await, dataset(&lake, "a/two", b"22").await]);
    let first = Archive::run(params(input.clone()), &ctx).await.unwrap();
    assert_eq!((first.objects, first.copied, first.bytes), (2, 2, 3));
    assert!(first.manifest.starts_with("archive/x/dt=2025-12-02/hour=09/manifest-"));
    let listed = lake.list("archive").await.unwrap();
    let second = Archive::run(params(input), &ctx).await.unwrap();
    assert_eq!((second.copied, second.already_there, &second.manifest), (0, 2, &first.manifest));
    assert_eq!(lake.list("archive").await.unwrap(), listed);
}

#[tokio::test]
async fn other_bytes_are_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let run = TestRun::new(dir.path());
    let ctx = run.context("keep", 1, None);
    let lake = ctx.lake().unwrap();
    let one = dataset(&lake, "a/one", b"1").await;
    lake.put("archive/x/dt=2025-12-02/hour=09/one", &b"other"[..]).await.unwrap();
    let error = Archive::run(params(Input::One(one)), &ctx).await.unwrap_err();
    assert_eq!(error.class(), "Conflict");
    assert_eq!(lake.get("archive/x/dt=2025-12-02/hour=09/one").await.unwrap(), "other");
}

#[tokio::test]
async fn changed_bytes_are_not_archived() {
    let dir = tempfile::tempdir().unwrap();
    let run = TestRun::new(dir.path());
    let ctx = run.context("keep", 1, None);
    let lake = ctx.lake().unwrap();
    let one = dataset(&lake, "a/one", b"1").await;
    lake.put("a/one", &b"2"[..]).await.unwrap();
    let error = Archive::run(params(Input::One(one)), &ctx).await.unwrap_err();
    assert_eq!(error.class(), "CorruptDataset");
}

/// Runs in local files and, where they can be had, on both S3 servers.
fn runs(folder: &std::path::Path) -> Vec<(TestRun, Option<updraft_testkit::services::s3::Bucket>)> {
    let mut runs = vec![(TestRun::new(folder), None)];
    for bucket in crate::s3_lake::buckets() {
        let run = TestRun::new(folder);
        crate::s3_lake::connect(&run, &bucket);
        runs.push((run, Some(bucket)));
    }
    runs
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// Archives one object for an interval of ten minutes, or a run by hand where both are one instant.
async fn keep(run: &mut TestRun, start: &str, end: &str, part: &str) -> Dataset {
    run.info.interval = updraft_task::DataInterval { start: at(start), end: at(end) };
    let ctx = run.context("keep", 1, None);
    let id = crate::batch::batch_id(ctx.run(), part);
    let lake = ctx.lake().unwrap();
    let uri = format!("in/part-{}.json", crate::batch::slug(&id));
    let one = Dataset { batch_id: Some(id), ..dataset(&lake, &uri, b"{}").await };
    let params = Params { input: Input::One(one.clone()), prefix: "archive/x".into(), at: None };
    Archive::run(params, &ctx).await.unwrap();
    one
}

async fn read(run: &TestRun, from: &str, to: &str, parts: &[&str]) -> Result<read::Output, TaskError> {
    let params = serde_json::json!({ "prefix": "archive/x", "from": from, "to": to, "parts": parts });
    ArchiveRead::run(serde_json::from_value(params).unwrap(), &run.context("read", 1, None)).await
}

#[tokio::test]
async fn a_window_comes_back_in_its_order_and_one_with_holes_is_refused_with_each_of_them() {
    let folder = tempfile::tempdir().unwrap();
    for (mut run, _bucket) in runs(folder.path()) {
        let times = ["T23:30:00", "T23:40:00", "T23:50:00"].map(|time| format!("2026-01-01{time}Z"));
        let midnight = "2026-01-02T00:00:00Z".to_owned();
        for (start, end) in [(&times[2], &midnight), (&times[0], &times[1])] {
            keep(&mut run, start, end, "europe").await;
        }
        let error = read(&run, &times[0], "2026-01-02T00:10:00Z", &[]).await.unwrap_err();
        assert_eq!(error.class(), "Holes");
        for hole in
            ["2 hole(s)", "2026-01-01T23:40:00Z…2026-01-01T23:50:00Z", "2026-01-02T00:00:00Z…2026-01-02T00:10:00Z"]
        {
            assert!(error.message().contains(hole), "{hole}: {error}");
        }
        keep(&mut run, &times[1], &times[2], "europe").await;
        keep(&mut run, &midnight, "2026-01-02T00:10:00Z", "europe").await;
        // By hand: in the window, and it covers nothing.
        keep(&mut run, "2026-01-01T23:45:00.5Z", "2026-01-01T23:45:00.5Z", "europe").await;
        let output = read(&run, &times[0], "2026-01-02T00:10:00Z", &["europe"]).await.unwrap();
        assert_eq!((output.batches, output.rows_out, output.bytes), (5, 5, 10));
        let lake = run.context("x", 1, None).lake().unwrap();
        let listed = Input::One(output.datasets.unwrap()).resolved(&lake).await.unwrap();
        let mut ids = Vec::new();
        for (_, one) in listed.datasets() {
            lake.read(one).await.unwrap();
            ids.push(one.batch_id.clone().unwrap());
        }
        assert!(ids.is_sorted(), "{ids:?}");
        let error = read(&run, &times[0], &midnight, &["europe", "asia"]).await.unwrap_err();
        assert!(error.message().contains("asia 2026-01-01T23:30:00Z…2026-01-02T00:00:00Z"), "{error}");
        // What lies before the window comes along as far as it is there, and its absence is no hole.
        for (from, before, batches) in [(&times[1], 10, 4), (&times[1], 9, 3), (&times[0], 600, 4)] {
            let params = serde_json::json!({
                "prefix": "archive/x", "from": from, "to": &midnight, "before_minutes": before, "parts": ["europe"],
            });
            let ctx = run.context("read", 1, None);
            let output = ArchiveRead::run(serde_json::from_value(params).unwrap(), &ctx).await.unwrap();
            assert_eq!((output.batches, &output.from), (batches, from), "{from} {before}");
        }
        // An object that was changed or lost is a hole, and it is said where.
        for (spoil, why) in [(true, "not those that were archived"), (false, "it is gone")] {
            let key = &listed.datasets()[0].1.uri;
            if spoil {
                lake.put(key, "xx").await.unwrap();
            } else {
                lake.delete(key).await.unwrap();
            }
            let error = read(&run, &times[0], &midnight, &[]).await.unwrap_err();
            assert!(
                error.class() == "Holes" && error.message().contains(why) && error.message().contains(key),
                "{error}"
            );
        }
        for (from, to) in [("2026-01-01", "x"), (midnight.as_str(), times[0].as_str()), (&times[0], &times[0])] {
            assert_eq!(read(&run, from, to, &[]).await.unwrap_err().class(), "BadParameters", "{from} {to}");
        }
    }
}

#[tokio::test]
async fn a_large_object_is_archived_on_s3_and_other_bytes_stay() {
    let folder = tempfile::tempdir().unwrap();
    let run = TestRun::new(folder.path());
    let Some(_bucket) = crate::s3_lake::move_lake(&run) else { return };
    let ctx = run.context("keep", 1, None);
    let lake = ctx.lake().unwrap();
    let bytes: Vec<u8> = (0..updraft_task::lake::PART_BYTES + 7).map(|at| u8::try_from(at % 251).unwrap()).collect();
    lake.put("a/big", bytes.clone()).await.unwrap();
    let big = Dataset { bytes: bytes.len() as u64, sha256: sha256_hex(&bytes), ..dataset(&lake, "a/other", b"").await };
    let big = Dataset { uri: "a/big".to_owned(), ..big };
    let first = Archive::run(params(Input::One(big.clone())), &ctx).await.unwrap();
    let again = Archive::run(params(Input::One(big.clone())), &ctx).await.unwrap();
    assert_eq!((first.copied, again.already_there, &again.manifest), (1, 1, &first.manifest));
    let key = "archive/x/dt=2025-12-02/hour=09/big";
    assert_eq!(lake.sum(key).await.unwrap(), big.sha256);
    lake.put(key, "other").await.unwrap();
    assert_eq!(Archive::run(params(Input::One(big)), &ctx).await.unwrap_err().class(), "Conflict");
    assert_eq!(lake.get(key).await.unwrap(), "other");
}
