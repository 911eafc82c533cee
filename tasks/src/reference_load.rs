//! `reference.load`: a CSV of reference data becomes a table with history (SCD2) in the lake: of each key one row for each
//! span of time in which its values stood. A source that has not changed is not loaded; one that has lost or gained too many rows is
//! refused.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use updraft_task::lake::sha256_hex;
use updraft_task::{Context, Dataset, Effects, ErrorClass, Format, Lake, Task, TaskError, Timestamp};

use crate::parquet::Encoder;
use crate::query::{BAD_SQL, MEMORY_LIMIT, QUERY_FAILED, SCRATCH, Session};
use crate::text::is_plain_name;

/// Largest source, in bytes.
const MAX_BYTES: usize = 512 << 20;
const MEMORY_MB: u64 = 512;

/// The task type.
pub struct ReferenceLoad;

/// Parameters.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// A CSV file with a header, UTF-8: its path, relative to the project, or an `http://` or `https://` address.
    pub source: String,
    /// Table: letters, digits and `_`.
    pub table: String,
    /// Columns that say which thing a row is about; no two rows of a source share them.
    pub key: Vec<String>,
    /// How far the number of rows may be from the last one's, as a share of it.
    #[serde(default = "a_fifth")]
    pub max_change: f64,
    /// A table that has been loaded is given as it stands, and its source is not read: for those who only need it to be there.
    #[serde(default)]
    pub only_if_missing: bool,
}

const fn a_fifth() -> f64 {
    0.2
}

/// Output.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LoadReport {
    /// sha-256 of the source.
    pub sha256: String,
    /// Rows of the source.
    pub rows_in: u64,
    /// Rows of the table that stand now: `valid_to` is null.
    pub current: u64,
    /// The table: the source's columns as text, `valid_from` and `valid_to` (UTC; not in it; null while it stands).
    pub dataset: Dataset,
}

/// What is known of the last load.
#[derive(Debug, Serialize, Deserialize)]
struct Loaded {
    sha256: String,
    rows: u64,
    /// Start of the data interval that loaded it, Unix milliseconds.
    at_ms: i64,
    table: Dataset,
}

impl Task for ReferenceLoad {
    const TYPE: &'static str = "reference.load";
    const SUMMARY: &'static str = "loads a CSV of reference data into a table with history, if it has changed";
    const EFFECTS: Effects = Effects::Idempotent;
    const ERRORS: &'static [ErrorClass] = &[
        BAD_SQL,
        MEMORY_LIMIT,
        QUERY_FAILED,
        SCRATCH,
        ErrorClass {
            name: "BadParameters",
            retryable: false,
            meaning: "`table`, `key` or `source` is not of its form, or `max_change` is negative",
        },
        ErrorClass {
            name: "BadSource",
            retryable: false,
            meaning: "the source is not there or refused, is no CSV with these columns, has other columns than the last one, or two rows of one key",
        },
        ErrorClass {
            name: "RowCount",
            retryable: false,
            meaning: "the number of rows is further from the last one's than `max_change`",
        },
        ErrorClass { name: "BadInput", retryable: false, meaning: "the table in the lake does not read" },
        ErrorClass { name: "BadParquet", retryable: false, meaning: "the rows cannot be stored" },
        ErrorClass { name: "CorruptDataset", retryable: false, meaning: "the table was changed by somebody else" },
        ErrorClass { name: "NotFound", retryable: false, meaning: "the table is gone, and what is known of it is not" },
        ErrorClass { name: "TooLarge", retryable: false, meaning: "the source has more than 512 MiB" },
        ErrorClass { name: "Timeout", retryable: true, meaning: "the source's server does not answer in time" },
        ErrorClass { name: "Network", retryable: true, meaning: "the source's server cannot be reached" },
        ErrorClass { name: "Certificate", retryable: false, meaning: "the server's certificate is not trusted" },
        ErrorClass {
            name: "Upstream5xx",
            retryable: true,
            meaning: "500…599: the source's server cannot answer just now",
        },
        ErrorClass { name: "BadConnection", retryable: false, meaning: "the lake is not there" },
        ErrorClass { name: "LakeDenied", retryable: false, meaning: "the lake refuses access" },
        ErrorClass { name: "Lake", retryable: true, meaning: "the lake cannot be read or written just now" },
    ];
    const EXAMPLE: &'static str = "- id: airports\n  type: reference.load\n  with:\n    source: dbt/seeds/airports_large.csv\n    table: dim_airports\n    key: [ident]\n";
    type Params = Params;
    type Output = LoadReport;

    async fn run(params: Params, ctx: &Context) -> Result<LoadReport, TaskError> {
        checked(&params)?;
        let lake = ctx.lake()?;
        let record = format!("reference/{}.json", params.table);
        let last: Option<Loaded> = match lake.find(&record).await? {
            None => None,
            Some(text) => Some(serde_json::from_slice(&text).map_err(|error| {
                TaskError::fail("BadInput", format!("`{record}` does not read: {error}; remove it to begin anew"))
            })?),
        };
        if params.only_if_missing
            && let Some(Loaded { sha256, rows, table, .. }) = &last
        {
            ctx.info(format!("{}: {rows} rows stand", params.table));
            let (sha256, dataset) = (sha256.clone(), table.clone());
            return Ok(LoadReport { sha256, rows_in: *rows, current: *rows, dataset });
        }
        let bytes = tokio::select! {
            bytes = fetch(&params.source, ctx) => bytes?,
            () = ctx.cancelled().cancelled() => return Err(TaskError::cancelled()),
        };
        let sha256 = sha256_hex(&bytes);
        let columns = header(&bytes)?;
        if let Some(missing) = params.key.iter().find(|key| !columns.contains(key)) {
            return Err(source(format!("`key: {missing}`: there is no such column; there are {}", columns.join(", "))));
        }
        let at = ctx.run().interval.start;
        if let Some(last) = &last {
            if last.sha256 == sha256 {
                return Err(TaskError::skip(format!("{} has not changed (sha-256 {sha256})", params.source)));
            }
            if at.as_millis() < last.at_ms {
                let newer = Timestamp::from_millis(last.at_ms);
                return Err(TaskError::skip(format!(
                    "the table was loaded for {newer} already, which is later than {at}"
                )));
            }
        }
        let csv = Dataset {
            uri: format!("reference/{}/{sha256}.csv", params.table),
            format: Format::Csv,
            schema: Vec::new(),
            rows: 0,
            bytes: bytes.len() as u64,
            sha256,
            batch_id: None,
        };
        lake.put_if_absent(&csv.uri, bytes).await?;
        merge(&params, ctx, &lake, last.as_ref(), &columns, csv, &record).await
    }
}

fn source(text: impl Into<String>) -> TaskError {
    TaskError::fail("BadSource", text)
}

fn checked(params: &Params) -> Result<(), TaskError> {
    let bad = |text: String| Err(TaskError::fail("BadParameters", text));
    if !is_plain_name(&params.table) {
        return bad(format!("`table: {}`: a table's name has letters, digits and `_` only", params.table));
    }
    if params.key.is_empty() {
        return bad("`key` names no column".to_owned());
    }
    if params.max_change.is_nan() || params.max_change < 0.0 {
        return bad(format!("`max_change: {}` is no share", params.max_change));
    }
    Ok(())
}

async fn fetch(from: &str, ctx: &Context) -> Result<bytes::Bytes, TaskError> {
    if !from.contains("://") {
        let path = ctx.path(from);
        return tokio::fs::read(&path)
            .await
            .map(Into::into)
            .map_err(|error| source(format!("`{from}` cannot be read: {error}")));
    }
    let what = format!("GET {from}");
    let client = reqwest::Client::builder()
        .user_agent(crate::http::USER_AGENT)
        .connect_timeout(std::time::Duration::from_secs(5))
        .read_timeout(std::time::Duration::from_secs(30))
        .build()
        .map_err(|error| crate::http::transport(&what, &error))?;
    let response = client.get(from).send().await.map_err(|error| crate::http::transport(&what, &error))?;
    let status = response.status();
    if status.is_server_error() {
        return Err(TaskError::retry(
            "Upstream5xx",
            format!("{what}: {status}: {}", crate::http::excerpt(response).await),
        ));
    }
    if !status.is_success() {
        return Err(source(format!("{what}: {status}: {}", crate::http::excerpt(response).await)));
    }
    crate::http::body(response, MAX_BYTES, &what).await
}

/// Names of the columns: the first line.
fn header(bytes: &[u8]) -> Result<Vec<String>, TaskError> {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| source("the first line is not UTF-8"))?;
    let names: Vec<String> = line
        .trim_start_matches('\u{feff}')
        .trim_end_matches('\r')
        .split(',')
        .map(|name| name.trim_matches('"').to_owned())
        .collect();
    let good = |name: &String| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == ' ');
    if let Some(odd) = names.iter().find(|name| !good(name)) {
        return Err(source(format!(
            "the first line names no columns: `{odd}` has other characters than letters, digits and `_`"
        )));
    }
    if let Some(reserved) = names.iter().find(|name| ["valid_from", "valid_to"].contains(&name.as_str())) {
        return Err(source(format!("the column `{reserved}` is the table's own; give it another name")));
    }
    Ok(names)
}

fn quoted(column: &str) -> String {
    format!("\"{column}\"")
}

/// The merge as one query over `incoming` and, if there was a load before, `standing`. Doing it twice with the same source and
/// instant gives the same rows.
fn merge_sql(columns: &[String], key: &[String], at: Timestamp, first: bool) -> String {
    let list = |prefix: &str| columns.iter().map(|c| format!("{prefix}{}", quoted(c))).collect::<Vec<_>>().join(", ");
    let pairs = |names: &[String], equal: &str| {
        names.iter().map(|c| format!("(s.{0} {equal} i.{0})", quoted(c))).collect::<Vec<_>>().join(" and ")
    };
    let instant = format!("arrow_cast('{at}', 'Timestamp(Millisecond, Some(\"UTC\"))')");
    let null = "arrow_cast(null, 'Timestamp(Millisecond, Some(\"UTC\"))')";
    let order = key.iter().map(|c| quoted(c)).collect::<Vec<_>>().join(", ");
    if first {
        return format!(
            "select {}, {instant} as valid_from, {null} as valid_to from incoming order by {order}",
            list("")
        );
    }
    // Joined by the key alone, which has no nulls: equality of nullable columns would make it a loop in a loop.
    format!(
        "select * from ( \
           select {s}, s.valid_from, s.valid_to from standing s where s.valid_to is not null \
           union all \
           select {s}, s.valid_from, case when i.{one} is not null and {equal} then s.valid_to else {instant} end as valid_to \
           from standing s left join incoming i on {join} where s.valid_to is null \
           union all \
           select {i}, {instant} as valid_from, {null} as valid_to \
           from incoming i left join (select * from standing where valid_to is null) s on {join} \
           where s.{one} is null or not ({equal}) \
         ) order by {order}, valid_from",
        s = list("s."),
        i = list("i."),
        one = quoted(&key[0]),
        equal = pairs(columns, "is not distinct from"),
        join = pairs(key, "="),
    )
}

async fn merge(
    params: &Params,
    ctx: &Context,
    lake: &Lake,
    last: Option<&Loaded>,
    columns: &[String],
    csv: Dataset,
    record: &str,
) -> Result<LoadReport, TaskError> {
    let session = Session::new(MEMORY_MB, ctx.scratch_dir()?)?;
    session.register_texts(ctx, lake, "incoming", &csv, columns).await?;
    let key = params.key.iter().map(|c| quoted(c)).collect::<Vec<_>>().join(", ");
    let rows_in = session.count(ctx, "select * from incoming").await.map_err(|error| source(error.message()))?;
    let empty: Vec<String> = params.key.iter().map(|c| format!("{} is null", quoted(c))).collect();
    if session.count(ctx, &format!("select 1 from incoming where {}", empty.join(" or "))).await? > 0 {
        return Err(source(format!("a row of {} has no {}", params.source, params.key.join(", "))));
    }
    if session.count(ctx, &format!("select {key} from incoming group by {key}")).await? != rows_in {
        return Err(source(format!("two rows of {} have the same {}", params.source, params.key.join(", "))));
    }
    // An empty table says nothing of columns and numbers to expect.
    let standing = last.filter(|last| last.table.rows > 0);
    if let Some(last) = standing {
        let mut known: Vec<&str> = last.table.schema.iter().map(|column| column.name.as_str()).collect();
        known.retain(|name| !["valid_from", "valid_to"].contains(name));
        if known != columns {
            return Err(source(format!(
                "the columns are {}, but the table has {}",
                columns.join(", "),
                known.join(", ")
            )));
        }
        #[expect(clippy::cast_precision_loss, reason = "numbers of rows are small")]
        let (now, before) = (rows_in as f64, last.rows as f64);
        if (now - before).abs() > params.max_change * before {
            return Err(TaskError::fail(
                "RowCount",
                format!(
                    "{} has {rows_in} rows, the last one had {}: more than max_change {} apart; look at it, and raise max_change for \
                     this run if it is right",
                    params.source, last.rows, params.max_change
                ),
            ));
        }
        session.register(ctx, lake, "standing", &[&last.table]).await?;
    }
    let at = ctx.run().interval.start;
    let frame = session.plan(&merge_sql(columns, &params.key, at, standing.is_none())).await?;
    let mut rows = Encoder::new(frame.schema().as_arrow())?;
    session.run(ctx, frame, |batch| rows.push(batch)).await?;
    // Each load has a file of its own, so that a crash before the record leaves the old table as it was.
    let sha256 = csv.sha256;
    let name = format!("{}-{}", crate::batch::compact(at), &sha256[..16]);
    let dataset = rows.finish()?.put(lake, &format!("warehouse/{}/{name}.parquet", params.table), None).await?;
    let loaded = Loaded { sha256: sha256.clone(), rows: rows_in, at_ms: at.as_millis(), table: dataset.clone() };
    let text = serde_json::to_vec_pretty(&loaded).map_err(|error| TaskError::fail("BadInput", error.to_string()))?;
    lake.put(record, text).await?;
    if let Some(last) = last
        && last.table.uri != dataset.uri
    {
        lake.delete(&last.table.uri).await?;
    }
    ctx.info(format!("{}: {rows_in} rows stand, {} with history", params.table, dataset.rows));
    Ok(LoadReport { sha256, rows_in, current: rows_in, dataset })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use updraft_task::Verdict;
    use updraft_task::testing::TestRun;

    use super::*;

    async fn load(run: &TestRun, text: &str, max_change: f64) -> Result<LoadReport, TaskError> {
        std::fs::write(run.folder().join("a.csv"), text).unwrap();
        let with = json!({ "source": "a.csv", "table": "dim_a", "key": ["id"], "max_change": max_change });
        ReferenceLoad::run(serde_json::from_value(with).unwrap(), &run.context("load", 1, None)).await
    }

    #[tokio::test]
    async fn a_table_that_stands_is_given_and_an_empty_one_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let mut run = TestRun::new(folder.path());
        let wanted = async |run: &TestRun, source: &str| {
            let with = json!({ "source": source, "table": "dim_a", "key": ["id"], "only_if_missing": true });
            ReferenceLoad::run(serde_json::from_value(with).unwrap(), &run.context("load", 1, None)).await
        };
        std::fs::write(folder.path().join("none.csv"), "id\n").unwrap();
        let empty = wanted(&run, "none.csv").await.unwrap();
        assert_eq!((empty.current, empty.dataset.schema.len()), (0, 3));
        assert_eq!(wanted(&run, "not there").await.unwrap().dataset, empty.dataset);
        next_week(&mut run);
        let first = load(&run, "id,name\n1,a\n2,b\n", 0.2).await.unwrap();
        assert_eq!(rows(&run, &first).await, ["1:a:01-08:", "2:b:01-08:"]);
        assert_eq!(wanted(&run, "not there").await.unwrap().dataset, first.dataset);
        let lake = run.context("x", 1, None).lake().unwrap();
        assert_eq!(lake.list("warehouse/dim_a").await.unwrap().len(), 1);
    }

    fn next_week(run: &mut TestRun) {
        let start = Timestamp::from_millis(run.info.interval.start.as_millis() + 604_800_000);
        run.info.interval = updraft_task::DataInterval { start, end: start };
    }

    async fn rows(run: &TestRun, report: &LoadReport) -> Vec<String> {
        let ctx = run.context("q", 1, None);
        let session = Session::new(64, ctx.scratch_dir().unwrap()).unwrap();
        session.register(&ctx, &ctx.lake().unwrap(), "t", &[&report.dataset]).await.unwrap();
        let sql = "select id || ':' || coalesce(name, '-') || ':' || to_char(valid_from, '%m-%d') || ':' || coalesce(to_char(valid_to, '%m-%d'), '') from t";
        let mut rows = Vec::new();
        let frame = session.plan(sql).await.unwrap();
        session
            .run(&ctx, frame, |batch| {
                let column =
                    datafusion::arrow::compute::cast(batch.column(0), &datafusion::arrow::datatypes::DataType::Utf8)
                        .unwrap();
                let texts = column.as_any().downcast_ref::<datafusion::arrow::array::StringArray>().unwrap();
                rows.extend(texts.iter().map(|text| text.unwrap().to_owned()));
                Ok(())
            })
            .await
            .unwrap();
        rows
    }

    #[tokio::test]
    async fn values_keep_their_spans_and_a_source_that_has_not_changed_is_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let files = TestRun::new(folder.path());
        let on_s3 = TestRun::new(folder.path());
        let bucket = crate::s3_lake::move_lake(&on_s3);
        for mut run in [Some(files), bucket.as_ref().map(|_| on_s3)].into_iter().flatten() {
            let first = load(&run, "id,name\n007,\"a, b\"\n2,b\n3,\n", 0.2).await.unwrap();
            assert_eq!(rows(&run, &first).await, ["007:a, b:01-01:", "2:b:01-01:", "3:-:01-01:"]);
            let again = load(&run, "id,name\n007,\"a, b\"\n2,b\n3,\n", 0.2).await.unwrap_err();
            assert_eq!(again.verdict(), &Verdict::Skip);
            next_week(&mut run);
            // One changed, one gone, one new, one as it was.
            let text = "id,name\n007,\"a, b\"\n2,B\n4,d\n";
            let second = load(&run, text, 0.2).await.unwrap();
            assert_eq!((second.rows_in, second.current), (3, 3));
            let expected = ["007:a, b:01-01:", "2:b:01-01:01-08", "2:B:01-08:", "3:-:01-01:01-08", "4:d:01-08:"];
            assert_eq!(rows(&run, &second).await, expected);
            // As after a crash before the record was written: the same rows come out.
            let lake = run.context("x", 1, None).lake().unwrap();
            let text_of = lake.get("reference/dim_a.json").await.unwrap();
            let mut record: Value = serde_json::from_slice(&text_of).unwrap();
            record["sha256"] = json!("old");
            lake.put("reference/dim_a.json", record.to_string()).await.unwrap();
            let third = load(&run, text, 0.2).await.unwrap();
            assert_eq!(third.dataset, second.dataset);
            assert_eq!(lake.list("warehouse/dim_a").await.unwrap().len(), 1, "the table before is cleared");
            next_week(&mut run);
            for (text, class) in [
                ("id,name\n1,a\n", "RowCount"),
                ("id,name\n1,a\n1,b\n3,c\n", "BadSource"),
                ("id,other\n1,a\n2,b\n3,c\n", "BadSource"),
                ("name\na\n", "BadSource"),
                ("id,name\n1,a,x\n2,b\n3,c\n", "BadSource"),
                ("id,name\n,a\n2,b\n3,c\n", "BadSource"),
            ] {
                assert_eq!(load(&run, text, 0.2).await.unwrap_err().class(), class, "{text}");
            }
            assert_eq!(load(&run, "id,name\n1,a\n", 1.0).await.unwrap().rows_in, 1);
            run.info.interval.start = Timestamp::from_millis(0);
            assert_eq!(
                load(&run, "id,name\n1,b\n", 1.0).await.unwrap_err().verdict(),
                &Verdict::Skip,
                "an older interval"
            );
        }
    }
}
