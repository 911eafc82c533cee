//! The recordings that are played: reading them from files, and which one a poll sees at which time.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::{
    area::Area,
    snapshot::{Snapshot, View},
};

/// Everything that was given to play.
#[derive(Debug, Default)]
pub(crate) struct Recordings {
    pub(crate) snapshots: Vec<Snapshot>,
    /// Rows of `/flights/*` answers, at their recorded times.
    pub(crate) flights: Vec<Value>,
    pub(crate) tracks: Vec<Value>,
}

impl Recordings {
    /// Reads files, and of folders every `*.json` in the order of their names. What a file is shows in its content.
    pub(crate) fn load(paths: &[PathBuf]) -> Result<Self> {
        let mut recordings = Self::default();
        for path in paths {
            for file in files_of(path)? {
                let text = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
                serde_json::from_slice(&text)
                    .map_err(anyhow::Error::from)
                    .and_then(|content| recordings.add(content))
                    .with_context(|| format!("{} is no recording of the API", file.display()))?;
            }
        }
        Ok(recordings)
    }

    /// Adds one answer of `/states/all`, `/flights/*` or `/tracks/all`.
    pub(crate) fn add(&mut self, content: Value) -> Result<()> {
        match content {
            Value::Array(flights) => self.flights.extend(flights),
            Value::Object(ref object) if object.contains_key("states") => {
                self.snapshots.push(Snapshot::from_json(content)?);
            }
            Value::Object(ref object) if object.contains_key("path") => self.tracks.push(content),
            _ => bail!(
                "expected an object with `states` (/states/all), one with `path` (/tracks/all) or an array (/flights/*)"
            ),
        }
        Ok(())
    }
}

fn files_of(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>())
        .with_context(|| format!("cannot list {}", path.display()))?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    if files.is_empty() {
        bail!("{} holds no *.json file", path.display());
    }
    files.sort();
    Ok(files)
}

/// A question to `/states/all`.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) area: Option<Area>,
    pub(crate) icao24: Vec<String>,
    pub(crate) extended: bool,
    /// The instant asked for instead of now.
    pub(crate) at: Option<i64>,
    /// Whether the answer counts as played: not if it looks back, nor if it will not arrive whole.
    pub(crate) is_poll: bool,
    /// Seconds between two answers of different `time`: 5 with a token, 10 without.
    pub(crate) resolution_s: i64,
}

/// An answer before it is spoiled or written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct States {
    pub(crate) time: i64,
    pub(crate) rows: Option<Vec<Value>>,
}

/// The snapshots and how far they have been played.
#[derive(Debug)]
pub(crate) struct Reel {
    snapshots: Vec<Snapshot>,
    still: bool,
    current: usize,
    /// What has been asked of the current snapshot. The same question again is the next poll; another box of the
    /// same round sees the same snapshot.
    asked: HashSet<String>,
    /// `time` of the answer in which the current snapshot was first shown.
    shown_since: Option<i64>,
}

impl Reel {
    pub(crate) fn new(snapshots: Vec<Snapshot>, still: bool) -> Self {
        Self { snapshots, still, current: 0, asked: HashSet::new(), shown_since: None }
    }

    /// Answers a question asked at `now` (Unix seconds).
    pub(crate) fn ask(&mut self, question: &Question, now: i64) -> States {
        let asked_for = question.at.unwrap_or(now);
        let time = asked_for - asked_for.rem_euclid(question.resolution_s);
        if question.is_poll {
            self.advance(question);
        }
        let Some(snapshot) = self.snapshots.get(self.current) else { return States { time, rows: None } };
        let since = *self.shown_since.get_or_insert(time);
        let moved_s = if self.still { 0 } else { time - since };
        let view =
            View { time, moved_s, area: question.area.as_ref(), icao24: &question.icao24, extended: question.extended };
        States { time, rows: snapshot.rows_at(&view) }
    }

    fn advance(&mut self, question: &Question) {
        let key = json!([question.area.map(|area| area.to_string()), question.icao24]).to_string();
        let again = !self.asked.insert(key.clone());
        if again && self.current + 1 < self.snapshots.len() {
            self.current += 1;
            self.asked = HashSet::from([key]);
            self.shown_since = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(icao24: &str) -> Snapshot {
        let row = json!([icao24, "", "", 100, 100, 10.0, 50.0, 1.0, false, 100.0, 90.0, 0, null, 1, "1000", false, 0]);
        Snapshot::from_json(json!({ "time": 100, "states": [row] })).unwrap()
    }

    fn everything() -> Question {
        Question { area: None, icao24: Vec::new(), extended: false, at: None, is_poll: true, resolution_s: 10 }
    }

    fn names(states: &States) -> Vec<&str> {
        states.rows.iter().flatten().map(|row| row[0].as_str().unwrap()).collect()
    }

    #[test]
    fn the_time_stays_within_the_resolution_of_the_caller() {
        let mut reel = Reel::new(vec![snapshot("a")], true);
        let registered = Question { resolution_s: 5, ..everything() };
        for (now, anonymous, with_token) in [(1_000, 1_000, 1_000), (1_004, 1_000, 1_000), (1_009, 1_000, 1_005)] {
            assert_eq!(reel.ask(&everything(), now).time, anonymous);
            assert_eq!(reel.ask(&registered, now).time, with_token);
        }
        assert_eq!(reel.ask(&everything(), 1_003), reel.ask(&everything(), 1_009), "same time, same answer");
    }

    #[test]
    fn one_file_is_played_per_poll_and_the_last_repeats() {
        let mut reel = Reel::new(vec![snapshot("a"), snapshot("b"), snapshot("c")], true);
        for expected in ["a", "b", "c", "c", "c"] {
            assert_eq!(names(&reel.ask(&everything(), 1_000)), [expected]);
        }
    }

    #[test]
    fn two_boxes_of_one_round_see_the_same_file() {
        let mut reel = Reel::new(vec![snapshot("a"), snapshot("b")], true);
        let east = Question { area: Some(Area { lamin: 0.0, lomin: 0.0, lamax: 90.0, lomax: 90.0 }), ..everything() };
        let north = Question { area: Some(Area { lamin: 40.0, lomin: 0.0, lamax: 90.0, lomax: 90.0 }), ..everything() };
        for expected in ["a", "b"] {
            assert_eq!(names(&reel.ask(&east, 1_000)), [expected]);
            assert_eq!(names(&reel.ask(&north, 1_000)), [expected]);
        }
    }

    #[test]
    fn what_is_no_poll_leaves_the_file_where_it_is() {
        let mut reel = Reel::new(vec![snapshot("a"), snapshot("b")], true);
        assert_eq!(names(&reel.ask(&everything(), 1_000)), ["a"]);
        let past = reel.ask(&Question { at: Some(903), is_poll: false, ..everything() }, 1_000);
        assert_eq!((names(&past), past.time), (vec!["a"], 900));
        assert_eq!(names(&reel.ask(&everything(), 1_000)), ["b"]);
    }

    #[test]
    fn aircraft_move_from_the_poll_that_showed_them_first_unless_still() {
        for (still, moved) in [(false, true), (true, false)] {
            let mut reel = Reel::new(vec![snapshot("a")], still);
            let first = reel.ask(&everything(), 1_000).rows.unwrap();
            assert_eq!(first[0][5], json!(10.0), "first shown as recorded");
            let later = reel.ask(&everything(), 1_060).rows.unwrap();
            assert_eq!(later[0][5] != first[0][5], moved);
            assert_eq!(later[0][3], json!(1_060), "ages stay while positions move");
        }
    }

    #[test]
    fn a_folder_is_read_in_the_order_of_names_and_files_are_told_apart_by_content() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, content: Value| fs::write(folder.path().join(name), content.to_string()).unwrap();
        write("2.json", json!({ "time": 2, "states": [["b"]] }));
        write("1.json", json!({ "time": 1, "states": [["a"]] }));
        write("flights.json", json!([{ "icao24": "a" }]));
        write("track.json", json!({ "icao24": "a", "path": [] }));
        fs::write(folder.path().join("README.md"), "no recording").unwrap();
        let recordings = Recordings::load(&[folder.path().to_owned()]).unwrap();
        assert_eq!((recordings.snapshots.len(), recordings.flights.len(), recordings.tracks.len()), (2, 1, 1));
        let mut reel = Reel::new(recordings.snapshots, true);
        assert_eq!(names(&reel.ask(&everything(), 1_000)), ["a"]);

        write("3.json", json!({ "hello": 1 }));
        let error = format!("{:#}", Recordings::load(&[folder.path().to_owned()]).unwrap_err());
        assert!(error.contains("3.json") && error.contains("/states/all"), "{error}");
    }
}
