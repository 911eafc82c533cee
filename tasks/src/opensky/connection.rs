//! The connection kind `opensky`.

use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;
use updraft_task::{ConnectionKind, Secret, TaskError};

/// Where the OpenSky API answers, and as whom it is asked. Without `client_id` and `client_secret` the calls are anonymous
/// (400 credits a day instead of 4,000).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenSky {
    /// Base of the API, up to and including `/api`.
    #[serde(default = "base_url")]
    pub base_url: String,
    /// Address that hands out tokens (OAuth2 client credentials).
    #[serde(default = "token_url")]
    pub token_url: String,
    /// Client id; both or neither.
    #[serde(default)]
    pub client_id: Option<String>,
    /// Client secret; both or neither.
    #[serde(default)]
    pub client_secret: Option<Secret>,
    /// Instead of the two: the `credentials.json` of the account page (`clientId`, `clientSecret`), relative to the project.
    #[serde(default)]
    pub credentials_file: Option<String>,
    /// Credits a day; 400 anonymous and 4,000 registered if left out.
    #[serde(default)]
    pub daily_credits: Option<u32>,
}

fn base_url() -> String {
    "https://opensky-network.org/api".to_owned()
}

fn token_url() -> String {
    "https://auth.opensky-network.org/auth/realms/opensky-network/protocol/openid-connect/token".to_owned()
}

impl ConnectionKind for OpenSky {
    const KIND: &'static str = "opensky";
    const SUMMARY: &'static str = "the OpenSky REST API, anonymous or with OAuth2 client credentials";
}

/// As whom the API is asked.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Client id.
    pub id: String,
    /// Client secret.
    pub secret: Secret,
}

#[derive(Deserialize)]
struct CredentialsFile {
    #[serde(rename = "clientId")]
    id: String,
    #[serde(rename = "clientSecret")]
    secret: Secret,
}

impl OpenSky {
    /// The credentials, `None` for anonymous calls.
    ///
    /// # Errors
    /// `fail` `BadConnection`: half a pair, which would silently run anonymously, or a file that does not read.
    pub fn credentials(&self, project_dir: &Path) -> Result<Option<Credentials>, TaskError> {
        let bad = |text: String| Err(TaskError::fail("BadConnection", text));
        match (self.id(), self.client_secret.as_ref().filter(|secret| !secret.expose().is_empty()), self.file()) {
            (None, None, None) => Ok(None),
            (Some(id), Some(secret), None) => Ok(Some(Credentials { id: id.to_owned(), secret: secret.clone() })),
            (None, None, Some(file)) => {
                let path = project_dir.join(file);
                let read = std::fs::read_to_string(&path).map_err(|error| error.to_string());
                let parsed: Result<CredentialsFile, String> = read.and_then(|text| {
                    // The parser's own words may repeat a value: only the place is kept.
                    serde_json::from_str(&text)
                        .map_err(|error| format!("line {}: needs `clientId` and `clientSecret` as texts", error.line()))
                });
                match parsed {
                    Ok(CredentialsFile { id, secret }) => Ok(Some(Credentials { id, secret })),
                    Err(error) => bad(format!("the credentials file {}: {error}", path.display())),
                }
            }
            (_, _, Some(_)) => {
                bad("`credentials_file` stands beside `client_id` or `client_secret`: give one or the other".into())
            }
            (Some(_), None, None) => {
                bad("`client_id` without `client_secret`: give both, or neither for anonymous calls".into())
            }
            (None, Some(_), None) => {
                bad("`client_secret` without `client_id`: give both, or neither for anonymous calls".into())
            }
        }
    }

    /// A blank field is none: an environment can only blank what a profile sets.
    fn id(&self) -> Option<&str> {
        self.client_id.as_deref().filter(|id| !id.is_empty())
    }

    fn file(&self) -> Option<&str> {
        self.credentials_file.as_deref().filter(|file| !file.is_empty())
    }

    /// Credits a day of this caller's class.
    pub fn daily_budget(&self) -> u32 {
        let registered = self.id().is_some() || self.file().is_some();
        self.daily_credits.unwrap_or(if registered { 4_000 } else { 400 })
    }

    /// Names the budget that calls draw on: holds and credits are kept under it.
    pub fn account(&self) -> String {
        let who = self.id().or(self.file()).unwrap_or("anonymous");
        format!("{}#{who}", self.base_url.trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn connection(fields: Value) -> OpenSky {
        serde_json::from_value(fields).unwrap()
    }

    #[test]
    fn half_a_pair_is_refused() {
        for fields in [
            json!({ "client_id": "a" }),
            json!({ "client_secret": "b" }),
            json!({ "client_id": "a", "client_secret": "" }),
        ] {
            let error = connection(fields).credentials(Path::new(".")).unwrap_err();
            assert!(error.message().contains("both, or neither"), "{error}");
        }
        for fields in [json!({}), json!({ "client_id": "", "client_secret": "" })] {
            let anonymous = connection(fields);
            assert!(anonymous.credentials(Path::new(".")).unwrap().is_none());
            assert_eq!(anonymous.daily_budget(), 400);
        }
    }

    #[test]
    fn the_account_pages_file_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("credentials.json");
        std::fs::write(&file, r#"{"clientId": "me", "clientSecret": "hunter2"}"#).unwrap();
        let connection = connection(json!({ "credentials_file": "credentials.json" }));
        let credentials = connection.credentials(dir.path()).unwrap().unwrap();
        assert_eq!((credentials.id.as_str(), credentials.secret.expose()), ("me", "hunter2"));
        assert_eq!(connection.daily_budget(), 4_000);
        assert!(!format!("{credentials:?}").contains("hunter2"));
        std::fs::write(&file, r#"{"clientId": 5, "clientSecret": "hunter2"}"#).unwrap();
        let error = connection.credentials(dir.path()).unwrap_err();
        assert!(!error.message().contains("hunter2"), "{error}");
    }
}
