//! From where to where is read. It is decided once per task run and kept before anything is read: every later attempt reads
//! the same records.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use updraft_task::{Context, TaskError, Timestamp};

use super::{End, Gone, Start};
use crate::kafka::fault::UNKNOWN_TOPIC;
use crate::kafka::reader::{Reader, by_partition};

/// Partitions whose offsets are kept in one value: it fits in 16 KiB.
const CHUNK: i32 = 250;

/// What is read of a partition: `start` ≤ offset < `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Span {
    pub(super) start: i64,
    pub(super) end: i64,
}

pub(super) type Spans = BTreeMap<i32, Span>;

/// Spans of some partitions, as they are kept.
#[derive(Serialize, Deserialize)]
struct Chunk {
    chunks: i32,
    spans: BTreeMap<i32, (i64, i64)>,
}

fn name(chunk: i32) -> String {
    format!("offsets/{chunk}")
}

fn chunk(value: Value) -> Result<Chunk, TaskError> {
    serde_json::from_value(value)
        .map_err(|error| TaskError::fail("BadState", format!("the offsets that were kept do not read: {error}")))
}

fn add(spans: &mut Spans, chunk: Chunk) {
    spans.extend(chunk.spans.into_iter().map(|(partition, (start, end))| (partition, Span { start, end })));
}

/// What an earlier attempt decided; `None`: nothing, or not all of it.
pub(super) async fn kept(ctx: &Context) -> Result<Option<Spans>, TaskError> {
    let mut spans = Spans::new();
    let (mut at, mut chunks) = (0, 1);
    while at < chunks {
        let Some(value) = ctx.state().get(&name(at)).await? else { return Ok(None) };
        let found = chunk(value)?;
        chunks = found.chunks;
        add(&mut spans, found);
        at += 1;
    }
    Ok(Some(spans))
}

/// Keeps what was decided, and answers what stands: an attempt that was cut off may have kept a part of it.
pub(super) async fn keep(ctx: &Context, decided: &Spans) -> Result<Spans, TaskError> {
    let last = decided.keys().next_back().copied().unwrap_or_default();
    let mut spans = Spans::new();
    let (mut at, mut chunks) = (0, last / CHUNK + 1);
    while at < chunks {
        let part = decided.range(at * CHUNK..(at + 1) * CHUNK);
        let part: BTreeMap<i32, (i64, i64)> = part.map(|(number, span)| (*number, (span.start, span.end))).collect();
        let stands = ctx.state().put_once(&name(at), json!(Chunk { chunks, spans: part })).await?;
        let found = chunk(stands)?;
        chunks = found.chunks;
        add(&mut spans, found);
        at += 1;
    }
    Ok(spans)
}

/// The question.
pub(super) struct Wanted {
    pub(super) topic: String,
    pub(super) from: Start,
    pub(super) to: End,
    pub(super) on_gone: Gone,
}

fn bad(text: String) -> TaskError {
    TaskError::fail("BadParameters", text)
}

fn instant(name: &str, text: &str) -> Result<i64, TaskError> {
    Timestamp::parse(text)
        .map(Timestamp::as_millis)
        .ok_or_else(|| bad(format!("`{name}.timestamp: {text}` is no RFC 3339 instant such as 2026-01-01T00:00:00Z")))
}

impl Wanted {
    /// Whether the question makes sense, as far as it can be told without brokers.
    pub(super) fn checked(&self) -> Result<(), TaskError> {
        match (&self.from, &self.to) {
            (Start::Timestamp(from), End::Timestamp(to)) => {
                if instant("from", from)? > instant("to", to)? {
                    return Err(bad(format!("`from` is {from} and `to` is {to}, which is earlier")));
                }
            }
            (Start::Offsets(from), End::Offsets(to)) => {
                let (from, to) = (by_partition("from.offsets", from)?, by_partition("to.offsets", to)?);
                if !from.keys().eq(to.keys()) {
                    return Err(bad("`from.offsets` and `to.offsets` name different partitions".to_owned()));
                }
                if let Some((partition, start)) = from.iter().find(|(partition, start)| *start > &to[*partition]) {
                    return Err(bad(format!("partition {partition}: `from` is {start} and `to` is before it")));
                }
            }
            (Start::Timestamp(text), _) => drop(instant("from", text)?),
            (Start::Offsets(offsets), _) => drop(by_partition("from.offsets", offsets)?),
            (Start::Beginning | Start::Group, _) => {}
        }
        match &self.to {
            End::Now => {}
            End::Timestamp(text) => drop(instant("to", text)?),
            End::Offsets(offsets) => drop(by_partition("to.offsets", offsets)?),
        }
        Ok(())
    }

    /// Asks brokers. `all` sees every record, `seen` what the isolation lets it see and the group's offsets.
    pub(super) fn decide(&self, all: &Reader, seen: &Reader) -> Result<Spans, TaskError> {
        let topic = &self.topic;
        let there = all.partitions(topic)?.ok_or_else(|| {
            TaskError::fail(UNKNOWN_TOPIC.name, format!("there is no topic {topic}: create it, or correct its name"))
        })?;
        let partitions = self.named(&there)?;
        let mut starts = self.starts(all, seen, &partitions)?;
        let mut ends = self.ends(all, seen, &partitions)?;
        let mut spans = Spans::new();
        for partition in partitions {
            let marks = all.watermarks(topic, partition)?;
            let start = starts.remove(&partition).flatten();
            let (start, end) = match (start, ends.remove(&partition).flatten(), &self.from) {
                (Some(start), end, _) => (start, end.unwrap_or(marks.high)),
                // All records are older than the instant.
                (None, end, Start::Timestamp(_)) => {
                    let end = end.unwrap_or(marks.high);
                    (end, end)
                }
                (None, end, Start::Beginning | Start::Group | Start::Offsets(_)) => {
                    (marks.low, end.unwrap_or(marks.high))
                }
            };
            let lost = start < marks.low && self.on_gone == Gone::Fail && start < end;
            if start > marks.high || lost {
                return Err(all.gone(topic, partition, (start, end.max(start))));
            }
            spans.insert(partition, Span { start, end: end.max(start) });
        }
        Ok(spans)
    }

    fn named(&self, there: &[i32]) -> Result<Vec<i32>, TaskError> {
        let named = match (&self.from, &self.to) {
            (Start::Offsets(offsets), _) => by_partition("from.offsets", offsets)?,
            (Start::Beginning | Start::Group | Start::Timestamp(_), End::Offsets(offsets)) => {
                by_partition("to.offsets", offsets)?
            }
            (Start::Beginning | Start::Group | Start::Timestamp(_), End::Now | End::Timestamp(_)) => {
                return Ok(there.to_vec());
            }
        };
        if let Some(missing) = named.keys().find(|partition| !there.contains(*partition)) {
            return Err(bad(format!(
                "partition {missing} is named, but {} has {} partitions, from 0",
                self.topic,
                there.len()
            )));
        }
        Ok(named.into_keys().collect())
    }

    fn starts(&self, all: &Reader, seen: &Reader, partitions: &[i32]) -> Result<BTreeMap<i32, Option<i64>>, TaskError> {
        match &self.from {
            Start::Beginning => Ok(BTreeMap::new()),
            Start::Group => seen.committed(&self.topic, partitions),
            Start::Timestamp(text) => all.offsets_at(&self.topic, partitions, instant("from", text)?),
            Start::Offsets(offsets) => Ok(some(by_partition("from.offsets", offsets)?)),
        }
    }

    /// By time the end lies where records are, committed or not: those that are not yet must not fall between this
    /// interval and the next one. They are waited for.
    fn ends(&self, all: &Reader, seen: &Reader, partitions: &[i32]) -> Result<BTreeMap<i32, Option<i64>>, TaskError> {
        match &self.to {
            End::Now => {
                let high = |partition: &i32| Ok((*partition, Some(seen.watermarks(&self.topic, *partition)?.high)));
                partitions.iter().map(high).collect()
            }
            End::Timestamp(text) => all.offsets_at(&self.topic, partitions, instant("to", text)?),
            End::Offsets(offsets) => Ok(some(by_partition("to.offsets", offsets)?)),
        }
    }
}

fn some(offsets: BTreeMap<i32, i64>) -> BTreeMap<i32, Option<i64>> {
    offsets.into_iter().map(|(partition, offset)| (partition, Some(offset))).collect()
}

#[cfg(test)]
mod tests {
    use updraft_task::testing::TestRun;

    use super::*;

    #[tokio::test]
    async fn offsets_of_thousands_of_partitions_are_kept_and_a_part_that_was_kept_stands() {
        let folder = tempfile::tempdir().unwrap();
        let run = TestRun::new(folder.path());
        let end = 9_000_000_000_000_000_000;
        let decided = |end: i64| -> Spans { (0..1_001).map(|number| (number, Span { start: end - 1, end })).collect() };
        let ctx = run.context("read", 1, None);
        assert_eq!(kept(&ctx).await.unwrap(), None);
        // An attempt was cut off after the first value.
        let first = decided(end).range(..CHUNK).map(|(number, span)| (*number, (span.start, span.end))).collect();
        ctx.state().put_once("offsets/0", json!(Chunk { chunks: 5, spans: first })).await.unwrap();
        assert_eq!(kept(&ctx).await.unwrap(), None);
        let stands = keep(&ctx, &decided(end + 7)).await.unwrap();
        assert_eq!((stands.len(), stands[&0].end, stands[&CHUNK].end), (1_001, end, end + 7));
        assert_eq!(kept(&run.context("read", 2, None)).await.unwrap(), Some(stands));
    }

    #[test]
    fn a_question_without_sense_is_refused_before_brokers_are_asked() {
        for (from, to, part) in [
            (json!({ "timestamp": "2026-01-02T00:00:00Z" }), json!({ "timestamp": "2026-01-01T00:00:00Z" }), "earlier"),
            (json!({ "timestamp": "yesterday" }), json!("now"), "RFC 3339"),
            (json!("beginning"), json!({ "timestamp": "soon" }), "RFC 3339"),
            (json!({ "offsets": { "0": 5 } }), json!({ "offsets": { "0": 4 } }), "before it"),
            (json!({ "offsets": { "0": 5 } }), json!({ "offsets": { "1": 9 } }), "different partitions"),
            (json!({ "offsets": { "a": 5 } }), json!("now"), "number of a partition"),
            (json!("beginning"), json!({ "offsets": { "0": -1 } }), "from 0"),
        ] {
            let wanted = Wanted {
                topic: "t".to_owned(),
                from: serde_json::from_value(from).unwrap(),
                to: serde_json::from_value(to).unwrap(),
                on_gone: Gone::Fail,
            };
            let error = wanted.checked().unwrap_err();
            assert_eq!(error.class(), "BadParameters");
            assert!(error.message().contains(part), "{error}");
        }
    }
}
