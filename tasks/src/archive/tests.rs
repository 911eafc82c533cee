//! The archive, in local files and on S3.

use super::*;
use updraft_task::Format;
use updraft_task::testing::TestRun;

async fn dataset(lake: &Lake, uri: &str, bytes: &'static [u8]) -> Dataset {
    lake.put(uri, bytes).await.unwrap();
    Dataset {
        uri: uri.to_owned(),
        format: Format::Bytes,
        schema: Vec::new(),
        rows: 1,
        bytes: bytes.len() as u64,
        sha256: sha256_hex(bytes),
        batch_id: None,
    }
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
