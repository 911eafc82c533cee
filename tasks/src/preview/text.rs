//! The beginning of a text, and JSON in it: one document, or one value a line.

use std::io::Read;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use object_store::ObjectStoreExt;
use object_store::path::Path as Key;
use serde_json::Value;
use updraft_task::Lake;

use super::cells::{self, Sample};
use super::rows::Columns;
use super::{MAX_COLUMNS, Mask, Preview, PreviewColumn, SAMPLE_ROWS, TEXT_BYTES};

const GZIP: [u8; 2] = [0x1f, 0x8b];
const MIB: u64 = 1 << 20;

/// The first bytes of a text, unpacked.
#[derive(Debug)]
pub(super) struct Head {
    pub text: String,
    /// Nothing comes after them.
    pub whole: bool,
}

impl Head {
    pub(super) async fn read(lake: &Lake, key: &Key, size: u64) -> Result<Self, String> {
        let fetched = size.min(TEXT_BYTES);
        let bytes = match fetched {
            0 => Bytes::new(),
            _ => lake
                .store()
                .get_range(key, 0..fetched)
                .await
                .map_err(|error| format!("the lake cannot be read: {error}"))?,
        };
        Self::unpack(&bytes, fetched == size)
    }

    /// Unpacks gzip, told by its first bytes.
    fn unpack(bytes: &[u8], all: bool) -> Result<Self, String> {
        let (bytes, whole) = if bytes.starts_with(&GZIP) {
            let mut unpacked = Vec::new();
            let done = MultiGzDecoder::new(bytes).take(TEXT_BYTES).read_to_end(&mut unpacked);
            match done {
                Ok(_) => (unpacked, all),
                // Only its beginning was fetched.
                Err(_) if !all => (unpacked, false),
                Err(error) => return Err(format!("it is broken gzip: {error}")),
            }
        } else {
            (bytes.to_vec(), all)
        };
        let whole = whole && (bytes.len() as u64) < TEXT_BYTES;
        let text = String::from_utf8_lossy(&bytes);
        Ok(Self { text: text.trim_start_matches('\u{feff}').to_owned(), whole })
    }

    /// Its lines that are there as a whole.
    pub(super) fn complete(&self) -> &str {
        if self.whole { &self.text } else { self.text.rfind('\n').map_or("", |end| &self.text[..end]) }
    }
}

/// One JSON value a line.
pub(super) fn lines(head: &Head, mask: &Mask) -> Result<Preview, String> {
    let mut rows = Vec::new();
    let mut columns = Columns::default();
    let (mut count, mut note) = (0_u64, None);
    for (at, line) in head.complete().lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let row: Value = match serde_json::from_str(line) {
            Ok(row) => row,
            Err(error) => {
                let said = format!("line {} is not JSON: {}", at + 1, mask(&error.to_string()));
                if rows.is_empty() {
                    return Err(said);
                }
                note = Some(said);
                break;
            }
        };
        columns.add(&row);
        count += 1;
        if rows.len() < SAMPLE_ROWS {
            rows.push(row);
        } else if !head.whole {
            break;
        }
    }
    if !head.whole && rows.is_empty() {
        return Err(format!("its first line is longer than {} MiB", TEXT_BYTES / MIB));
    }
    let all = (head.whole && note.is_none()).then_some(count);
    Ok(seen(&rows, &columns, all, note, mask))
}

/// One document: a list of rows, or one row.
pub(super) fn document(head: &Head, mask: &Mask) -> Result<Preview, String> {
    if !head.whole {
        return Err(format!("the document is longer than {} MiB, and has to be read whole", TEXT_BYTES / MIB));
    }
    let document: Value =
        serde_json::from_str(&head.text).map_err(|error| format!("it is not JSON: {}", mask(&error.to_string())))?;
    let rows = match document {
        Value::Array(rows) => rows,
        row => vec![row],
    };
    let mut columns = Columns::default();
    rows.iter().for_each(|row| columns.add(row));
    Ok(seen(&rows, &columns, Some(rows.len() as u64), None, mask))
}

fn seen(rows: &[Value], columns: &Columns, all: Option<u64>, note: Option<String>, mask: &Mask) -> Preview {
    let mut sample = Sample::default();
    for row in rows.iter().take(SAMPLE_ROWS) {
        let cell = |value: Option<&Value>| value.map_or(Value::Null, |value| cells::shown(value, mask));
        sample.push(columns.cells(row).into_iter().map(cell).collect());
    }
    let wide = columns.left_out.then(|| format!("only the first {MAX_COLUMNS} columns are shown"));
    let note = note.or(wide).or(sample.note());
    let named = |column: PreviewColumn| PreviewColumn { name: cells::text(&column.name, mask), ..column };
    Preview {
        columns: columns.columns(all).into_iter().map(named).collect(),
        rows: all,
        sample: Some(sample.rows),
        note,
    }
}
