//! What a store says, by what can be done about it.

use std::error::Error;
use std::io::ErrorKind;

use object_store::Error as Fault;

use crate::TaskError;

/// Codes with which S3 services over files refuse a key that is an object and a folder at once.
const BOTH: [&str; 3] = ["ObjectParentIsFile", "ExistingObjectIsDirectory", "ParentIsObject"];

/// Codes with which they refuse a caller; a listing's error says no more.
const DENIED: [&str; 4] = ["AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"];

/// Whether the error, or one that it comes from, is a file's error of this kind.
fn is_io(error: &Fault, kinds: &[ErrorKind]) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(error) = cause {
        if error.downcast_ref::<std::io::Error>().is_some_and(|error| kinds.contains(&error.kind())) {
            return true;
        }
        cause = error.source();
    }
    false
}

fn says(error: &Fault, code: &str) -> bool {
    error.to_string().contains(&format!("<Code>{code}</Code>"))
}

/// Whether it means that there is no such object. A bucket that is not there is another matter.
pub(super) fn is_missing(error: &Fault) -> bool {
    match error {
        Fault::NotFound { .. } => !says(error, "NoSuchBucket"),
        // `a/b` where `a` is an object; `a` where that is a folder.
        error => is_io(error, &[ErrorKind::NotADirectory, ErrorKind::IsADirectory]),
    }
}

/// A key that would be both an object and a folder.
pub(super) fn both(at: &str) -> TaskError {
    TaskError::fail(
        "BadKey",
        format!(
            "cannot write `{at}` in the lake: a key is either an object or a folder, and this one, or one above it, is the \
             other already; choose another key or prefix"
        ),
    )
}

/// Of a call that reads an object.
pub(super) fn read_fault(at: &str, error: &Fault) -> TaskError {
    if is_missing(error) {
        return TaskError::fail("NotFound", format!("cannot read `{at}` in the lake: it is not there ({error})"));
    }
    fault("read", at, error)
}

/// Of any other call.
pub(super) fn fault(doing: &str, at: &str, error: &Fault) -> TaskError {
    let text = format!("cannot {doing} `{at}` in the lake: {error}");
    match error {
        error if says(error, "NoSuchBucket") => TaskError::fail(
            "BadConnection",
            format!(
                "cannot {doing} `{at}`: the lake's bucket is not there; make it, or correct `url` of the connection"
            ),
        ),
        Fault::NotFound { .. } => TaskError::fail("NotFound", text),
        Fault::PermissionDenied { .. } | Fault::Unauthenticated { .. } => TaskError::fail("LakeDenied", text),
        error if DENIED.iter().any(|code| says(error, code)) => TaskError::fail("LakeDenied", text),
        error
            if BOTH.iter().any(|code| says(error, code))
                || is_io(error, &[ErrorKind::NotADirectory, ErrorKind::IsADirectory]) =>
        {
            both(at)
        }
        _ => TaskError::retry("Lake", text),
    }
}

/// # Errors
/// `fail` `CorruptDataset` if the sums differ.
pub(super) fn check_sum(uri: &str, found: &str, expected: &str) -> Result<(), TaskError> {
    if found == expected {
        return Ok(());
    }
    Err(TaskError::fail(
        "CorruptDataset",
        format!("`{uri}` has sha-256 {found}, but {expected} was written: it was changed after its task ended"),
    ))
}
