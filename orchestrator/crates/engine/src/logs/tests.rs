//! What is written is what is read: the files of a log, read back as the store will have them.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use updraft_model::id::{RunId, TaskKey};
use updraft_model::time::Timestamp;
use updraft_store::logs::{LogGap, LogLevel, LogLine, LogStream};
use updraft_task::Level;
use uuid::Uuid;

use super::{LogFile, MAX_LINE_BYTES, path, segments};

/// A log that is read from its beginning and can be asked again for what came since.
struct LogReader {
    path: PathBuf,
    offset: u64,
    /// Number of the next line.
    line: u64,
    /// Bytes after the last line end.
    partial: Vec<u8>,
}

impl LogReader {
    fn new(log_dir: &Path, run_id: RunId, key: &TaskKey, dispatch_no: u32) -> Self {
        Self { path: path(log_dir, run_id, key, dispatch_no), offset: 0, line: 1, partial: Vec::new() }
    }

    /// The complete lines that came since the last call.
    fn more(&mut self) -> Vec<LogLine> {
        let mut lines = Vec::new();
        let segments = segments(&self.path).unwrap();
        for (at, segment) in segments.iter().enumerate() {
            if segments.get(at + 1).is_some_and(|next| next.offset <= self.offset) {
                continue;
            }
            if segment.offset > self.offset {
                let gap = LogGap {
                    from: self.offset,
                    until: segment.offset,
                    lines: segment.first_line.saturating_sub(self.line),
                };
                lines.push(LogLine::parse(&gap.text(), self.line, self.offset));
                (self.offset, self.line) = (segment.offset, segment.first_line);
                self.partial.clear();
            }
            let mut file = std::fs::File::open(&segment.path).unwrap();
            file.seek(SeekFrom::Start(self.offset - segment.offset)).unwrap();
            self.offset += file.read_to_end(&mut self.partial).unwrap() as u64;
            let Some(end) = self.partial.iter().rposition(|byte| *byte == b'\n') else { continue };
            let rest = self.partial.split_off(end + 1);
            let complete = std::mem::replace(&mut self.partial, rest);
            for line in String::from_utf8_lossy(&complete).lines() {
                lines.push(LogLine::parse(line, self.line, 0));
                self.line += 1;
            }
        }
        lines
    }
}

fn lines(limit: u64, write: impl FnOnce(&mut LogFile)) -> Vec<LogLine> {
    let folder = tempfile::tempdir().unwrap();
    let (run, key) = (RunId(Uuid::nil()), TaskKey::of("a"));
    let mut file = LogFile::create(path(folder.path(), run, &key, 1), limit);
    write(&mut file);
    drop(file);
    LogReader::new(folder.path(), run, &key, 1).more()
}

#[test]
fn what_is_written_is_read_back_while_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (run, key) = (RunId(Uuid::nil()), TaskKey::of("a"));
    let mut reader = LogReader::new(folder.path(), run, &key, 1);
    assert!(reader.more().is_empty());
    let mut file = LogFile::create(path(folder.path(), run, &key, 1), 1 << 20);
    let at = Timestamp::from_millis(1_767_225_600_123);
    file.write(at, Level::Warn, LogStream::Task, "one\ntwo").unwrap();
    let found = reader.more();
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].at, found[0].level, found[0].text.as_str()), (Some(at), LogLevel::Warn, "one"));
    file.write(at, Level::Info, LogStream::Stderr, "| three").unwrap();
    file.write(at, Level::Info, LogStream::Stdout, "").unwrap();
    file.write(at, Level::Info, LogStream::Stdout, "four").unwrap();
    let found: Vec<_> = reader.more().into_iter().map(|line| (line.stream, line.text)).collect();
    assert_eq!(found, [(LogStream::Stderr, "| three".to_owned()), (LogStream::Stdout, "four".to_owned())]);
}

#[test]
fn a_log_that_passes_its_limit_keeps_its_beginning_and_its_end() {
    let found = lines(4000, |file| {
        for n in 0..1000 {
            file.write(Timestamp::default(), Level::Info, LogStream::Task, &format!("line {n}")).unwrap();
        }
    });
    let texts: Vec<_> = found.iter().map(|line| line.text.as_str()).collect();
    let gap = texts.iter().position(|text| text.contains("were not kept")).unwrap();
    let numbers: Vec<u64> = texts.iter().filter_map(|text| text.strip_prefix("line ")?.parse().ok()).collect();
    assert_eq!((numbers[0], *numbers.last().unwrap()), (0, 999));
    let left_out = numbers[gap] - numbers[gap - 1] - 1;
    assert!(texts[gap].starts_with(&format!("--- {left_out} lines (")), "{}", texts[gap]);
    assert!(numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1).count() == 1);
    let kept: usize = texts.iter().map(|text| text.len() + 31).sum();
    assert!((3500..5200).contains(&kept), "{kept}");
}

#[test]
fn a_long_line_is_cut_with_a_mark() {
    let found = lines(1 << 20, |file| {
        file.write(Timestamp::default(), Level::Info, LogStream::Task, &"é".repeat(MAX_LINE_BYTES)).unwrap();
    });
    assert!(found[0].text.ends_with(&format!("… (cut, {MAX_LINE_BYTES} bytes more)")));
}
