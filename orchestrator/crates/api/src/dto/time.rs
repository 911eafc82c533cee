//! Instants as the contract writes them.

use chrono::SecondsFormat;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use updraft_model::time::Timestamp;
use utoipa::ToSchema;

/// An instant: RFC 3339, UTC, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, ToSchema)]
#[schema(value_type = String, format = DateTime, examples("2026-11-22T02:30:00.000Z"))]
pub struct Time(pub Timestamp);

impl From<Timestamp> for Time {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.to_datetime().to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Timestamp::parse(&text).map(Self).ok_or_else(|| {
            de::Error::custom(format!("`{text}` is no instant: write 2026-01-31T09:30:00Z or 2026-01-31"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_have_milliseconds_and_any_offset_is_read() {
        let at = Time(Timestamp::from_millis(1_767_225_600_000));
        assert_eq!(serde_json::to_string(&at).unwrap(), "\"2026-01-01T00:00:00.000Z\"");
        for text in ["\"2026-01-01T01:00:00+01:00\"", "\"2026-01-01\"", "\"2026-01-01T00:00:00.000Z\""] {
            assert_eq!(serde_json::from_str::<Time>(text).unwrap(), at, "{text}");
        }
        let said = serde_json::from_str::<Time>("\"soon\"").unwrap_err().to_string();
        assert!(said.starts_with("`soon` is no instant"), "{said}");
    }
}
