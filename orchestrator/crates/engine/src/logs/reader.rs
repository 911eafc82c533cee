//! Reads attempt logs, also while they are written. Reading never disturbs the writer.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use updraft_model::id::{RunId, TaskKey};
use updraft_model::time::Timestamp;
use updraft_store::logs::{self, LogGap, LogLevel, LogStream};
use updraft_task::Level;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When; `None` for a line that is not in the form of this log.
    pub at: Option<Timestamp>,
    /// Its weight.
    pub level: Level,
    /// Where it comes from.
    pub stream: LogStream,
    /// What it says.
    pub text: String,
}

impl LogLine {
    fn parse(raw: &str) -> Self {
        let line = logs::LogLine::parse(raw, 0, 0);
        let level = match line.level {
            LogLevel::Debug => Level::Debug,
            LogLevel::Info => Level::Info,
            LogLevel::Warn => Level::Warn,
            LogLevel::Error => Level::Error,
        };
        Self { at: line.at, level, stream: line.stream, text: line.text }
    }
}

/// A log that is read from its beginning and can be asked again for what came since.
#[derive(Debug)]
pub struct LogReader {
    path: PathBuf,
    offset: u64,
    /// Number of the next line.
    line: u64,
    /// Bytes after the last line end.
    partial: Vec<u8>,
}

impl LogReader {
    /// On one attempt's log; it need not exist yet.
    pub fn new(log_dir: &Path, run_id: RunId, key: &TaskKey, dispatch_no: u32) -> Self {
        let path = super::path(log_dir, run_id, key, dispatch_no);
        Self { path, offset: 0, line: 1, partial: Vec::new() }
    }

    /// The byte after the last complete line that was read: where to go on in the store once the files are gone.
    pub fn position(&self) -> u64 {
        self.offset - self.partial.len() as u64
    }

    /// Whether there are files.
    pub fn exists(&self) -> bool {
        super::segments(&self.path).is_ok_and(|segments| !segments.is_empty())
    }

    /// The complete lines that came since the last call.
    ///
    /// # Errors
    /// The file cannot be read. That it does not exist is no error: a task that says nothing has no log.
    pub fn more(&mut self) -> std::io::Result<Vec<LogLine>> {
        let mut lines = Vec::new();
        let segments = super::segments(&self.path)?;
        for (at, segment) in segments.iter().enumerate() {
            let end = segments.get(at + 1).map(|next| next.offset);
            if end.is_some_and(|end| end <= self.offset) {
                continue;
            }
            let mut file = match std::fs::File::open(&segment.path) {
                Ok(file) => file,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if segment.offset > self.offset {
                let gap = LogGap {
                    from: self.offset,
                    until: segment.offset,
                    lines: segment.first_line.saturating_sub(self.line),
                };
                lines.push(LogLine { at: None, level: Level::Warn, stream: LogStream::Task, text: gap.text() });
                (self.offset, self.line) = (segment.offset, segment.first_line);
                self.partial.clear();
            }
            file.seek(SeekFrom::Start(self.offset - segment.offset))?;
            self.offset += file.read_to_end(&mut self.partial)? as u64;
            let Some(end) = self.partial.iter().rposition(|byte| *byte == b'\n') else { continue };
            let rest = self.partial.split_off(end + 1);
            let complete = std::mem::replace(&mut self.partial, rest);
            let text = String::from_utf8_lossy(&complete);
            let before = lines.len();
            lines.extend(text.lines().map(LogLine::parse));
            self.line += (lines.len() - before) as u64;
        }
        Ok(lines)
    }

    /// The line that was being written when the writer died, if there is one. Ask when the attempt is over.
    pub fn rest(&mut self) -> Option<LogLine> {
        let rest = std::mem::take(&mut self.partial);
        (!rest.is_empty()).then(|| LogLine::parse(&String::from_utf8_lossy(&rest)))
    }
}

#[cfg(test)]
mod tests {
    use updraft_model::id::{RunId, TaskKey};
    use updraft_model::time::Timestamp;
    use updraft_store::logs::LogStream;
    use updraft_task::Level;
    use uuid::Uuid;

    use super::super::{LogFile, MAX_LINE_BYTES, path};
    use super::LogReader;

    fn lines(limit: u64, write: impl FnOnce(&mut LogFile)) -> Vec<super::LogLine> {
        let folder = tempfile::tempdir().unwrap();
        let (run, key) = (RunId(Uuid::nil()), TaskKey::of("a"));
        let mut file = LogFile::create(path(folder.path(), run, &key, 1), limit);
        write(&mut file);
        drop(file);
        LogReader::new(folder.path(), run, &key, 1).more().unwrap()
    }

    #[test]
    fn what_is_written_is_read_back_while_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let (run, key) = (RunId(Uuid::nil()), TaskKey::of("a"));
        let mut reader = LogReader::new(folder.path(), run, &key, 1);
        assert!(reader.more().unwrap().is_empty());
        let mut file = LogFile::create(path(folder.path(), run, &key, 1), 1 << 20);
        let at = Timestamp::from_millis(1_767_225_600_123);
        file.write(at, Level::Warn, LogStream::Task, "one\ntwo").unwrap();
        let found = reader.more().unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].at, found[0].level, found[0].text.as_str()), (Some(at), Level::Warn, "one"));
        file.write(at, Level::Info, LogStream::Stderr, "| three").unwrap();
        file.write(at, Level::Info, LogStream::Stdout, "").unwrap();
        file.write(at, Level::Info, LogStream::Stdout, "four").unwrap();
        let found: Vec<_> = reader.more().unwrap().into_iter().map(|line| (line.stream, line.text)).collect();
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
}
