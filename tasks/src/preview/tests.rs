use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use updraft_task::lake::LakeConnection;

use super::*;

fn lake(folder: &Path) -> Lake {
    let connection: LakeConnection = serde_json::from_value(json!({ "url": "lake" })).unwrap();
    Lake::open(&connection, folder).unwrap()
}

fn open_mask() -> Mask {
    Arc::new(str::to_owned)
}

async fn looked(lake: &Lake, key: &str, format: &str) -> Result<Preview, String> {
    let until = Instant::now() + Duration::from_mins(1);
    let form = Form::of(format)?;
    Found::find(lake, key).await?.look(form, &open_mask(), until).await
}

async fn kept(bytes: impl Into<bytes::Bytes>, format: &str) -> Result<Preview, String> {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    lake.put("dataset", bytes).await.unwrap();
    looked(&lake, "dataset", format).await
}

fn columns(preview: &Preview) -> Vec<(&str, &str, Option<u64>)> {
    preview.columns.iter().map(|one| (one.name.as_str(), one.data_type.as_str(), one.nulls)).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn addresses_outside_the_lake_have_no_key() {
    for (uri, expected) in [
        ("a/b.parquet", Some("a/b.parquet")),
        ("/srv/lake/a/b.parquet", Some("a/b.parquet")),
        ("file:///srv/lake/a/b.parquet", Some("a/b.parquet")),
        ("/srv/lake", None),
        ("/srv/lake2/a", None),
        ("/etc/passwd", None),
        ("file:///etc/passwd", None),
        ("s3://bucket/a", None),
        ("http://169.254.169.254/latest", None),
    ] {
        assert_eq!(key_of("/srv/lake", uri).as_deref(), expected, "{uri}");
    }
    assert_eq!(key_of("s3://bucket/in", "s3://bucket/in/a/b").as_deref(), Some("a/b"));
    assert_eq!(key_of("s3://bucket/in", "s3://bucket/inner/b"), None);
}

#[tokio::test]
async fn nothing_outside_the_lake_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    std::fs::write(folder.path().join("secret.csv"), "a\n1\n").unwrap();
    std::os::unix::fs::symlink(folder.path().join("secret.csv"), folder.path().join("lake/link.csv")).unwrap();
    std::os::unix::fs::symlink(folder.path(), folder.path().join("lake/up")).unwrap();
    for key in ["link.csv", "up/secret.csv"] {
        let error = looked(&lake, key, "csv").await.unwrap_err();
        assert!(error.contains("leads out of the lake"), "{key}: {error}");
    }
    for key in ["../secret.csv", "a/../../secret.csv", "..", "a//b", ""] {
        let error = looked(&lake, key, "csv").await.unwrap_err();
        assert!(error.contains("is not a key") || error.contains("names no object"), "{key}: {error}");
    }
    let error = looked(&lake, "gone.csv", "csv").await.unwrap_err();
    assert!(error.contains("is not in the lake any more"), "{error}");
}

#[tokio::test]
async fn lines_give_the_union_of_their_fields_and_count_what_is_missing() {
    let text = "\u{feff}{\"id\": 1, \"name\": \"a\", \"tags\": [1]}\n\n{\"id\": null, \"more\": {\"x\": 1.5}}\r\n{\"id\": 2.5}\n";
    let preview = kept(gzip(text.as_bytes()), "ndjson").await.unwrap();
    assert_eq!(
        columns(&preview),
        [("id", "Float64", Some(1)), ("name", "Utf8", Some(2)), ("tags", "List", Some(2)), ("more", "Struct", Some(2))]
    );
    assert_eq!(preview.rows, Some(3));
    assert_eq!(
        json!(preview.sample),
        json!([[1, "a", [1], null], [null, null, null, {"x": 1.5}], [2.5, null, null, null]])
    );
}

#[tokio::test]
async fn of_long_texts_the_beginning_is_read_and_nothing_is_said_of_the_rest() {
    let line = format!("{{\"id\": 1, \"text\": \"{}\"}}\n", "x".repeat(1000));
    let bytes = line.repeat(6000);
    assert!(bytes.len() as u64 > TEXT_BYTES);
    for bytes in [bytes.as_bytes().to_vec(), gzip(bytes.as_bytes())] {
        let preview = kept(bytes, "ndjson").await.unwrap();
        assert_eq!((preview.rows, preview.columns[1].nulls), (None, None));
        let sample = preview.sample.unwrap();
        assert_eq!(sample.len(), SAMPLE_ROWS);
        assert_eq!(sample[0][1].as_str().unwrap().chars().count(), 300 + "… (1000 characters)".chars().count());
    }
    let one_line = format!("\"{}\"\n", "x".repeat(5 << 20));
    assert!(kept(one_line.clone(), "ndjson").await.unwrap_err().contains("longer than 4 MiB"));
    assert!(kept(one_line, "json").await.unwrap_err().contains("longer than 4 MiB"));
    // What unpacks to very much more than it is.
    let bomb = gzip(&vec![b' '; 64 << 20]);
    assert!(kept(bomb, "json").await.unwrap_err().contains("longer than 4 MiB"));
}

#[tokio::test]
async fn what_is_broken_is_said() {
    for (bytes, format, part) in [
        (b"{\"a\": 1".to_vec(), "json", "it is not JSON"),
        (b"no\n".to_vec(), "ndjson", "line 1 is not JSON"),
        (Vec::new(), "csv", "there is no header"),
        (gzip(b"{\"a\": 1}\n")[..12].to_vec(), "ndjson", "broken gzip"),
        (vec![1], "bytes", "no columns"),
        (vec![1], "duckdb", "`duckdb` has no preview"),
    ] {
        let error = kept(bytes, format).await.unwrap_err();
        assert!(error.contains(part), "{format}: {error}");
    }
    let preview = kept("{\"a\": 1}\n{broken\n", "ndjson").await.unwrap();
    assert!(preview.note.unwrap().contains("line 2 is not JSON"));
    assert_eq!(preview.rows, None);
    assert_eq!(preview.sample.unwrap().len(), 1);
}

#[tokio::test]
async fn documents_are_lists_of_rows_or_one_row() {
    let preview = kept("[{\"a\": 9007199254740993}, 5]", "json").await.unwrap();
    assert_eq!(columns(&preview), [("a", "Int64", Some(1)), ("value", "Int64", Some(1))]);
    assert_eq!(json!(preview.sample), json!([["9007199254740993", null], [null, 5]]));
    let preview = kept("{\"time\": 1, \"states\": [[\"a\"]]}", "json").await.unwrap();
    assert_eq!(json!(preview.sample), json!([[1, [["a"]]]]));
}

#[tokio::test]
async fn csv_cells_stay_text() {
    let preview = kept("id,code,at\n1,007,2026-01-01\n2,,x\n3\n", "csv").await.unwrap();
    assert_eq!(columns(&preview), [("id", "Int64", Some(0)), ("code", "Int64", Some(2)), ("at", "Utf8", Some(1))]);
    assert_eq!(json!(preview.sample), json!([["1", "007", "2026-01-01"], ["2", null, "x"], ["3", null, null]]));
    assert_eq!(preview.note.as_deref(), Some("row 3 has 1 cells, the header has 3"));
    assert_eq!(preview.rows, Some(3));
}

#[tokio::test]
async fn secrets_are_masked_before_anything_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    let row = json!({ "url": format!("{}hunter22", "x".repeat(295)), "hunter22": [{ "deep": "a hunter22 b" }] });
    lake.put("d", row.to_string()).await.unwrap();
    let mask: Mask = Arc::new(|text: &str| text.replace("hunter22", "***"));
    let until = Instant::now() + Duration::from_mins(1);
    let preview = Found::find(&lake, "d").await.unwrap().look(Form::Json, &mask, until).await.unwrap();
    assert!(!format!("{preview:?}").contains("hunter"), "{preview:?}");
}

#[cfg(feature = "parquet")]
mod parquet_files {
    use std::sync::Arc;

    use arrow_array::types::Int32Type;
    use arrow_array::{
        ArrayRef, BinaryArray, Decimal128Array, DictionaryArray, FixedSizeBinaryArray, Float32Array, Float64Array,
        Int32Array, Int64Array, ListArray, NullArray, RecordBatch, StringArray, StructArray, TimestampMillisecondArray,
        TimestampNanosecondArray, UInt64Array,
    };
    use arrow_schema::{DataType, Field};
    use parquet::arrow::ArrowWriter;
    use parquet::basic::Compression;
    use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};

    use super::*;

    fn file(batch: &RecordBatch, properties: WriterPropertiesBuilder) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties.build())).unwrap();
        writer.write(batch).unwrap();
        writer.close().unwrap();
        bytes
    }

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
    }

    fn ids(count: usize) -> RecordBatch {
        let id: StringArray = (0..count).map(|row| (row % 4 != 0).then(|| format!("{row:040x}"))).collect();
        let number: Int64Array = (0..i64::try_from(count).unwrap()).map(Some).collect();
        batch(vec![("id", Arc::new(id)), ("number", Arc::new(number))])
    }

    #[tokio::test]
    async fn of_a_million_rows_the_footer_and_the_first_pages_are_read() {
        // More bytes than may be fetched: reading it whole would be refused.
        let properties = WriterProperties::builder()
            .set_compression(Compression::UNCOMPRESSED)
            .set_dictionary_enabled(false)
            .set_max_row_group_row_count(Some(600_000));
        let bytes = file(&ids(1_000_000), properties);
        assert!(bytes.len() as u64 > FETCHED_BYTES);
        let preview = kept(bytes, "parquet").await.unwrap();
        assert_eq!(columns(&preview), [("id", "Utf8", Some(250_000)), ("number", "Int64", Some(0))]);
        assert_eq!((preview.rows, preview.note), (Some(1_000_000), None));
        let sample = preview.sample.unwrap();
        assert_eq!(sample.len(), SAMPLE_ROWS);
        assert_eq!(sample[0], [Value::Null, json!(0)]);
        assert_eq!(sample[49], [json!(format!("{:040x}", 49)), json!(49)]);
    }

    #[tokio::test]
    async fn every_type_is_shown() {
        let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None, Some(vec![])]);
        let inner: ArrayRef = Arc::new(StringArray::from(vec![Some("x"), None, Some("z")]));
        let group = StructArray::from(vec![(Arc::new(Field::new("inner", DataType::Utf8, true)), inner)]);
        let dictionary: DictionaryArray<Int32Type> = vec![Some("lo"), None, Some("hi")].into_iter().collect();
        let fixed = FixedSizeBinaryArray::try_from_iter([[1_u8, 2], [3, 4], [5, 6]].into_iter()).unwrap();
        let long = [0xab_u8; 40];
        let decimal =
            Decimal128Array::from(vec![Some(12_340), None, Some(-5)]).with_precision_and_scale(10, 3).unwrap();
        let rows = batch(vec![
            ("f64", Arc::new(Float64Array::from(vec![f64::NAN, f64::INFINITY, 0.5]))),
            ("f32", Arc::new(Float32Array::from(vec![Some(0.1), None, Some(f32::NEG_INFINITY)]))),
            ("big", Arc::new(UInt64Array::from(vec![1, u64::MAX, 1 << 53]))),
            ("decimal", Arc::new(decimal)),
            (
                "utc",
                Arc::new(
                    TimestampMillisecondArray::from(vec![Some(1_767_225_600_123), None, Some(i64::MAX)])
                        .with_timezone("UTC"),
                ),
            ),
            ("berlin", Arc::new(TimestampMillisecondArray::from(vec![0, 1, 2]).with_timezone("Europe/Berlin"))),
            ("civil", Arc::new(TimestampNanosecondArray::from(vec![0, 1, 1_000_000_000]))),
            ("binary", Arc::new(BinaryArray::from(vec![Some(&b"\x00\xff"[..]), None, Some(&long[..])]))),
            ("fixed", Arc::new(fixed)),
            ("list", Arc::new(list)),
            ("group", Arc::new(group)),
            ("dictionary", Arc::new(dictionary)),
            ("nothing", Arc::new(NullArray::new(3))),
        ]);
        let preview = kept(file(&rows, WriterProperties::builder()), "parquet").await.unwrap();
        assert_eq!(preview.note, None);
        let nulls: Vec<(&str, Option<u64>)> =
            preview.columns.iter().map(|column| (column.name.as_str(), column.nulls)).collect();
        assert_eq!(
            nulls,
            [
                ("f64", Some(0)),
                ("f32", Some(1)),
                ("big", Some(0)),
                ("decimal", Some(1)),
                ("utc", Some(1)),
                ("berlin", Some(0)),
                ("civil", Some(0)),
                ("binary", Some(1)),
                ("fixed", Some(0)),
                ("list", None),
                ("group", None),
                ("dictionary", Some(1)),
                ("nothing", Some(3)),
            ]
        );
        let sample = preview.sample.unwrap();
        let first = json!([
            "NaN", 0.1, 1, "12.340", "2026-01-01T00:00:00.123Z", "1970-01-01T00:00:00Z", "1970-01-01T00:00:00", "0x00ff",
            "0x0102", [1, null], {"inner": "x"}, "lo", null
        ]);
        assert_eq!(json!(sample[0]), first);
        let second = json!([
            "Infinity", null, "18446744073709551615", null, null, "1970-01-01T00:00:00.001Z",
            "1970-01-01T00:00:00.000000001", null, "0x0304", null, {"inner": null}, null, null
        ]);
        assert_eq!(json!(sample[1]), second);
        assert_eq!(sample[2][1], json!("-Infinity"));
        assert_eq!(sample[2][4], json!(i64::MAX.to_string()));
        assert!(sample[2][7].as_str().unwrap().ends_with("… (40 bytes)"));
    }

    #[tokio::test]
    async fn nulls_that_nobody_counted_are_not_made_up() {
        let none = WriterProperties::builder().set_statistics_enabled(EnabledStatistics::None);
        let preview = kept(file(&ids(10), none), "parquet").await.unwrap();
        assert_eq!(columns(&preview), [("id", "Utf8", None), ("number", "Int64", None)]);
        assert_eq!(preview.sample.unwrap().len(), 10);
    }

    #[tokio::test]
    async fn a_file_without_rows_has_columns() {
        let preview = kept(file(&ids(0), WriterProperties::builder()), "parquet").await.unwrap();
        assert_eq!((preview.columns.len(), preview.rows, preview.sample), (2, Some(0), Some(Vec::new())));
    }

    #[tokio::test]
    async fn broken_files_are_said_to_be_broken() {
        let whole = file(&ids(1000), WriterProperties::builder());
        let mut long = whole.clone();
        let end = long.len();
        long[end - 8..end - 4].copy_from_slice(&u32::MAX.to_le_bytes());
        let mut beyond = whole.clone();
        beyond[end - 8..end - 4].copy_from_slice(&(1_u32 << 20).to_le_bytes());
        for (bytes, part) in [
            (whole[..whole.len() / 2].to_vec(), "cut off"),
            (Vec::new(), "less than any Parquet file"),
            (b"{\"a\": 1}, no Parquet".to_vec(), "PAR1"),
            (long, "too long for a preview"),
            (beyond, "broken"),
        ] {
            let error = kept(bytes, "parquet").await.unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        // The footer stands, the pages do not.
        let mut pages = whole;
        let middle = pages.len() / 2;
        pages[4..middle].fill(0xff);
        let preview = kept(pages, "parquet").await.unwrap();
        assert_eq!((preview.columns.len(), preview.rows, &preview.sample), (2, Some(1000), &None));
        assert!(preview.note.unwrap().contains("first rows cannot be shown"));
    }

    #[tokio::test]
    async fn wide_tables_and_long_rows_are_cut() {
        let one: ArrayRef = Arc::new(Int32Array::from(vec![1]));
        let names: Vec<String> = (0..600).map(|at| format!("c{at}")).collect();
        let wide = batch(names.iter().map(|name| (name.as_str(), Arc::clone(&one))).collect());
        let preview = kept(file(&wide, WriterProperties::builder()), "parquet").await.unwrap();
        assert_eq!((preview.columns.len(), preview.sample.unwrap()[0].len()), (MAX_COLUMNS, MAX_COLUMNS));
        assert!(preview.note.unwrap().contains("first 500 of 600 columns"));

        let text: ArrayRef = Arc::new(StringArray::from(vec!["y".repeat(5000); 50]));
        let long = batch(names.iter().take(100).map(|name| (name.as_str(), Arc::clone(&text))).collect());
        let preview = kept(file(&long, WriterProperties::builder()), "parquet").await.unwrap();
        assert!(preview.sample.unwrap().len() < 20);
        assert!(preview.note.unwrap().contains("the rows are long"));
    }

    #[tokio::test]
    async fn it_ends_when_its_time_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let lake = lake(folder.path());
        lake.put("d", file(&ids(10), WriterProperties::builder())).await.unwrap();
        let found = Found::find(&lake, "d").await.unwrap();
        let error = found.look(Form::Parquet, &open_mask(), Instant::now()).await.unwrap_err();
        assert!(error.contains("time limit"), "{error}");
    }
}

#[tokio::test]
async fn datasets_on_s3_are_shown_by_key_and_by_address() {
    let Some(bucket) = updraft_testkit::services::s3::fresh_bucket().unwrap() else { return };
    let connection: LakeConnection = serde_json::from_value(bucket.lake_fields("")).unwrap();
    let lake = Lake::existing(&connection, Path::new("/")).unwrap();
    lake.put("in/a.csv", "a,b\n1,x\n").await.unwrap();
    lake.put("in/a.ndjson", "{\"a\":1}\n").await.unwrap();
    let uri = format!("s3://{}/in/a.csv", bucket.name());
    assert_eq!(key_of(lake.root(), &uri).as_deref(), Some("in/a.csv"));
    let seen = looked(&lake, "in/a.csv", "csv").await.unwrap();
    assert_eq!(seen.sample, Some(vec![vec![json!("1"), json!("x")]]));
    assert_eq!(looked(&lake, "in/a.ndjson", "ndjson").await.unwrap().sample, Some(vec![vec![json!(1)]]));
    #[cfg(feature = "sql")]
    {
        use datafusion::arrow::array::Int64Array;
        use datafusion::arrow::datatypes::{DataType, Field, Schema};
        use datafusion::arrow::record_batch::RecordBatch;
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        // Several blocks, of which few are fetched.
        let numbers = Int64Array::from_iter_values((0..400_000_i64).map(|n| n.wrapping_mul(711_400_719_181_877)));
        let rows = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(numbers)]).unwrap();
        crate::parquet::write_batches(&lake, "in/a.parquet", &schema, &[rows], None).await.unwrap();
        let seen = looked(&lake, "in/a.parquet", "parquet").await.unwrap();
        assert_eq!((seen.rows, seen.sample.unwrap().len(), seen.note), (Some(400_000), SAMPLE_ROWS, None));
    }
    let found = Found::find(&lake, "in/a.csv").await.unwrap();
    let before = found.stamp();
    lake.put("in/a.csv", "a,b\n2,x\n").await.unwrap();
    assert_ne!(Found::find(&lake, "in/a.csv").await.unwrap().stamp(), before, "another content is another stamp");
    assert!(looked(&lake, "in/none.csv", "csv").await.unwrap_err().contains("not in the lake any more"));
}
