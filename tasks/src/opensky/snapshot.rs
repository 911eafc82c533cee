//! One answer of `/states/all` as a whole. What its rows say is `state.rs`'s matter.

use serde::Deserialize;
use serde::de::Error as _;
use serde_json::Value;

/// 10000-01-01T00:00:00Z: no answer is that late, and no key can be made of it.
const TIME_LIMIT: i64 = 253_402_300_800;

/// An answer: its instant and its rows, not yet looked into.
#[derive(Debug, Deserialize)]
pub struct Snapshot {
    /// Instant that the states belong to, Unix seconds.
    #[serde(deserialize_with = "time")]
    pub time: i64,
    /// The rows; `null` in the answer means none.
    #[serde(rename = "states", deserialize_with = "rows")]
    pub rows: Vec<Value>,
}

fn time<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let time = i64::deserialize(deserializer)?;
    if is_time(time) { Ok(time) } else { Err(D::Error::custom(format!("`time` {time} is no instant"))) }
}

fn is_time(time: i64) -> bool {
    (0..TIME_LIMIT).contains(&time)
}

fn rows<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Value>, D::Error> {
    Ok(Option::<Vec<Value>>::deserialize(deserializer)?.unwrap_or_default())
}

impl Snapshot {
    /// Reads an answer.
    ///
    /// # Errors
    /// Not JSON, or without `time` and `states`.
    pub fn parse(bytes: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(bytes)
    }
}

/// The answer's `time`, found without reading the rest: the bytes may be broken.
pub fn time_of(bytes: &[u8]) -> Option<i64> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]);
    let rest = head.split_once("\"time\"")?.1.trim_start().strip_prefix(':')?.trim_start();
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok().filter(|time| is_time(*time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_states_are_no_states_and_other_forms_are_refused() {
        let snapshot = Snapshot::parse(br#"{"time": 1, "states": null}"#).unwrap();
        assert_eq!((snapshot.time, snapshot.rows.len()), (1, 0));
        for text in [
            r#"{"time": 1}"#,
            r#"{"states": []}"#,
            r#"{"time": 1, "states": [["#,
            r#"{"time": 1, "states": {}}"#,
            r#"{"time": -1, "states": []}"#,
            r#"{"time": 9223372036854775807, "states": []}"#,
            "<html>",
            "",
        ] {
            assert!(Snapshot::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn the_time_of_a_broken_answer_is_found() {
        for (text, time) in [
            (r#"{"time": 1764668079, "states": [["a"#, Some(1_764_668_079)),
            (r#"{"time":7"#, Some(7)),
            (r#"{"time": 99999999999999, "#, None),
            (r#"{"tim"#, None),
            ("<html>", None),
        ] {
            assert_eq!(time_of(text.as_bytes()), time, "{text}");
        }
    }
}
