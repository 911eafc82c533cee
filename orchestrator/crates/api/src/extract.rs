//! Extractors whose refusals are problems that name the place.

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, de};

use crate::problem::{Problem, wrong};

/// Parts of the path.
pub(crate) struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let found = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        found.map(|axum::extract::Path(value)| Self(value)).map_err(|rejection| match rejection {
            PathRejection::FailedToDeserializePathParams(error) => {
                Problem::bad_request("bad_path", format!("the address is not of this form: {}", error.body_text()))
            }
            other => Problem::internal(other.body_text()),
        })
    }
}

/// The query. A key may stand several times where a list is allowed: its values are joined with commas.
pub(crate) struct Query<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let joined = joined(parts.uri.query().unwrap_or_default());
        let uri: Uri =
            format!("/?{joined}").parse().map_err(|_| Problem::bad_request("bad_query", "the query cannot be read"))?;
        let found = axum::extract::Query::<T>::try_from_uri(&uri);
        found.map(|axum::extract::Query(value)| Self(value)).map_err(|rejection| {
            let text = rejection.body_text();
            let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text).to_owned();
            Problem::bad_request("bad_query", format!("the query does not fit: {text}"))
        })
    }
}

/// `state=a&x=1&state=b` → `state=a%2Cb&x=1`. A key without a value stays: `?dry_run` alone must not count as left out.
fn joined(query: &str) -> String {
    let mut pairs: Vec<(&str, String)> = Vec::new();
    for pair in query.split('&') {
        if pair.is_empty() {
            continue;
        }
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        match pairs.iter_mut().find(|(known, _)| *known == key) {
            Some((_, values)) => {
                values.push_str("%2C");
                values.push_str(value);
            }
            None => pairs.push((key, value.to_owned())),
        }
    }
    pairs.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join("&")
}

/// Longest note and reason, and longest text to look for, in characters.
pub(crate) const TEXT: usize = 500;
pub(crate) const SEARCH: usize = 200;

/// A text of a body that may be too long.
pub(crate) fn check_text(field: &str, text: Option<&str>, longest: usize) -> Result<(), Problem> {
    match text.map(|text| text.chars().count()) {
        Some(length) if length > longest => {
            let said = format!("it has {length} characters; {longest} is the most");
            let problem = Problem::unfit("body_unfit", format!("`{field}` is too long"));
            Err(problem.errors(vec![wrong("body_unfit", format!("/{field}"), said)]))
        }
        Some(_) | None => Ok(()),
    }
}

/// A text to look for: none if it is blank.
pub(crate) fn search(given: Option<String>) -> Result<Option<String>, Problem> {
    match given.as_ref().map(|text| text.chars().count()) {
        Some(length) if length > SEARCH => {
            let text = format!("`search` has {length} characters; {SEARCH} is the most");
            Err(Problem::bad_request("bad_query", text))
        }
        Some(_) | None => Ok(given.filter(|text| !text.trim().is_empty())),
    }
}

/// A number between two others, or none: what the document says of a parameter counts also where the parameter does not. For
/// `deserialize_with`, beside `default`.
pub(crate) fn within<'de, const LEAST: i64, const MOST: i64, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de> + Copy + TryInto<i64> + std::fmt::Display,
    D: Deserializer<'de>,
{
    let Some(number) = Option::<T>::deserialize(deserializer)? else { return Ok(None) };
    if number.try_into().is_ok_and(|number| (LEAST..=MOST).contains(&number)) {
        return Ok(Some(number));
    }
    Err(de::Error::custom(format!("{number} is not between {LEAST} and {MOST}")))
}

/// A list in the query: `a,b`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct List<T>(pub Vec<T>);

impl<'de, T: DeserializeOwned> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts
            .map(|part| T::deserialize(de::value::StrDeserializer::<de::value::Error>::new(part)))
            .collect::<Result<_, _>>()
            .map(Self)
            .map_err(de::Error::custom)
    }
}

/// A JSON body. None and `null` count as `{}` where `T` allows it.
pub(crate) struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (is_json, has_type) = content_type(request.headers());
        let packed = request.headers().get(CONTENT_ENCODING).is_some_and(|value| value != "identity");
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "the body is larger than 1 MiB")
            } else {
                Problem::bad_request("bad_body", "the body cannot be read")
            }
        })?;
        if bytes.is_empty() {
            return parse(b"{}");
        }
        if packed {
            let text = "the body is packed (`content-encoding`): send it as it is";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type", text));
        }
        let is_null = bytes.trim_ascii() == b"null";
        if has_type && !is_json {
            let text = "the body must be JSON: send `content-type: application/json`";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type", text));
        }
        if !has_type {
            let text = "say what the body is: send `content-type: application/json`";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type", text));
        }
        parse(if is_null { b"{}" } else { &bytes })
    }
}

fn content_type(headers: &HeaderMap) -> (bool, bool) {
    let Some(value) = headers.get(CONTENT_TYPE) else { return (false, false) };
    let text = value.to_str().unwrap_or_default();
    let kind = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    (kind == "application/json" || kind.ends_with("+json"), true)
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<Body<T>, Problem> {
    // A struct would also be read from a list of its values.
    if bytes.trim_ascii_start().first() != Some(&b'{') && serde_json::from_slice::<de::IgnoredAny>(bytes).is_ok() {
        let said = "an object is expected";
        let problem = Problem::unfit("body_unfit", format!("the body does not fit: {said}"));
        return Err(problem.errors(vec![wrong("body_unfit", "", said)]));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value =
        serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
            let pointer = pointer(error.path());
            let inner = error.into_inner();
            if inner.is_data() {
                let said = inner.to_string();
                let said = said.split(" at line ").next().unwrap_or(&said).to_owned();
                Problem::unfit("body_unfit", format!("the body does not fit at `{pointer}`: {said}"))
                    .errors(vec![wrong("body_unfit", pointer, said)])
            } else {
                Problem::bad_request("bad_json", format!("the body is no JSON: {inner}"))
            }
        })?;
    deserializer
        .end()
        .map_err(|error| Problem::bad_request("bad_json", format!("the body is more than one JSON value: {error}")))?;
    Ok(Body(value))
}

/// RFC 6901.
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut text = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => text.push_str(&["/", &index.to_string()].concat()),
            Segment::Map { key } => text.push_str(&["/", &key.replace('~', "~0").replace('/', "~1")].concat()),
            Segment::Enum { variant } => text.push_str(&["/", variant].concat()),
            Segment::Unknown => text.push_str("/?"),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dto::{NewRun, RetryRequest};

    #[test]
    fn a_key_may_stand_several_times() {
        assert_eq!(joined("state=a&x=1&&state=b%20c&y=&flag"), "state=a%2Cb%20c&x=1&y=&flag=");
    }

    #[tokio::test]
    async fn a_key_without_a_value_is_never_left_out_in_silence() {
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        struct Asked {
            dry_run: Option<bool>,
            until: Option<u64>,
            state: List<String>,
        }
        let read = async |query: &str| {
            let request = Request::builder().uri(format!("/?{query}")).body(axum::body::Body::empty()).unwrap();
            Query::<Asked>::from_request_parts(&mut request.into_parts().0, &()).await.map(|Query(asked)| asked)
        };
        for bad in ["dry_run", "dry_run=", "until=", "dry_run=true&dry_run=false", "x", "="] {
            let problem = read(bad).await.unwrap_err();
            assert_eq!((problem.status().as_u16(), problem.code()), (400, "bad_query"), "{bad}");
        }
        let asked = read("dry_run=true&state=&state=a&state=b").await.unwrap();
        assert_eq!(
            (asked.dry_run, asked.until, asked.state.0),
            (Some(true), None, vec!["a".to_owned(), "b".to_owned()])
        );
    }

    #[test]
    fn a_body_that_does_not_fit_names_the_place() {
        let said = |text: &str| match parse::<RetryRequest>(text.as_bytes()) {
            Ok(_) => String::new(),
            Err(problem) => format!("{} {}", problem.status().as_u16(), problem.code()),
        };
        assert_eq!(said(r#"{"tasks":["a",{"task":"b","map_index":1}]}"#), "");
        assert_eq!(said(r#"{"what":"some"}"#), "422 body_unfit");
        assert_eq!(said(r#"{"what":"#), "400 bad_json");
        assert_eq!(said("{} {}"), "400 bad_json");
        assert_eq!(said("[null, null]"), "422 body_unfit");
        assert_eq!(said("7"), "422 body_unfit");
        assert_eq!(said("[null"), "400 bad_json");
        let Err(problem) = parse::<NewRun>(br#"{"logical_date":"soon"}"#) else { panic!("it fits") };
        assert_eq!(problem.code(), "body_unfit");
    }
}
