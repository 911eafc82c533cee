//! Comma-separated rows under a header.

use serde_json::Value;

use super::cells::{self, Sample};
use super::rows::Seen;
use super::text::Head;
use super::{MAX_COLUMNS, Mask, Preview, PreviewColumn, SAMPLE_ROWS};

/// Cuts a text into rows of cells, as RFC 4180 says: quotes hold commas, line ends and doubled quotes.
struct Records<'t> {
    rest: &'t str,
}

impl Iterator for Records<'_> {
    type Item = Vec<String>;

    fn next(&mut self) -> Option<Vec<String>> {
        // Empty lines are no rows.
        self.rest = self.rest.trim_start_matches(['\r', '\n']);
        if self.rest.is_empty() {
            return None;
        }
        let mut cells = Vec::new();
        let mut cell = String::new();
        let mut quoted = false;
        let mut characters = self.rest.char_indices().peekable();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' if quoted => match characters.peek() {
                    Some((_, '"')) => {
                        characters.next();
                        cell.push('"');
                    }
                    Some(_) | None => quoted = false,
                },
                '"' if cell.is_empty() => quoted = true,
                ',' if !quoted => cells.push(std::mem::take(&mut cell)),
                '\n' if !quoted => {
                    if cell.ends_with('\r') {
                        cell.pop();
                    }
                    cells.push(cell);
                    self.rest = &self.rest[at + 1..];
                    return Some(cells);
                }
                other => cell.push(other),
            }
        }
        self.rest = "";
        cells.push(cell);
        Some(cells)
    }
}

fn type_of(cell: &str) -> Option<&'static str> {
    match cell {
        "" => None,
        "true" | "false" => Some("Boolean"),
        cell if cell.parse::<i64>().is_ok() => Some("Int64"),
        // The words that Rust reads as numbers, such as `inf` and `nan`, are text here.
        cell if cell.parse::<f64>().is_ok() && cell.bytes().any(|byte| byte.is_ascii_digit()) => Some("Float64"),
        _ => Some("Utf8"),
    }
}

/// Cells stay the text that they are; an empty one is a null.
pub(super) fn preview(head: &Head, mask: &Mask) -> Result<Preview, String> {
    let mut records = Records { rest: head.complete() };
    let header = records.next().ok_or("it is empty: there is no header")?;
    let width = header.len();
    let mut columns: Vec<Seen> =
        header.iter().take(MAX_COLUMNS).map(|name| Seen::new(cells::text(name, mask))).collect();
    let mut sample = Sample::default();
    let (mut count, mut note) = (0_u64, None);
    for record in records {
        count += 1;
        if note.is_none() && record.len() != width {
            note = Some(format!("row {count} has {} cells, the header has {width}", record.len()));
        }
        for (column, cell) in columns.iter_mut().zip(&record) {
            column.value(type_of(cell));
        }
        if !sample.full() {
            let cell = |at| match record.get(at).map(String::as_str) {
                None | Some("") => Value::Null,
                Some(cell) => Value::from(cells::text(cell, mask)),
            };
            sample.push((0..columns.len()).map(cell).collect());
        }
        if !head.whole && count >= SAMPLE_ROWS as u64 {
            break;
        }
    }
    let wide = (width > MAX_COLUMNS).then(|| format!("only the first {MAX_COLUMNS} of {width} columns are shown"));
    let all = head.whole.then_some(count);
    Ok(Preview {
        columns: columns.iter().map(|seen| seen.column(all)).collect::<Vec<PreviewColumn>>(),
        rows: all,
        note: note.or(wide).or(sample.note()),
        sample: Some(sample.rows),
    })
}

#[cfg(test)]
mod tests {
    use super::Records;

    #[test]
    fn quotes_hold_commas_line_ends_and_quotes() {
        let text = "a,\"b, c\",\"d \"\"e\"\"\"\r\n\r\n\"f\ng\",,h\ni";
        let rows: Vec<Vec<String>> = Records { rest: text }.collect();
        let found: Vec<Vec<&str>> = rows.iter().map(|row| row.iter().map(String::as_str).collect()).collect();
        assert_eq!(found, [vec!["a", "b, c", "d \"e\""], vec!["f\ng", "", "h"], vec!["i"]]);
    }
}
