//! Exit codes, as documented in `updraft --help` and docs/reference/cli.md.

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// What was asked for was done.
    Success = 0,
    /// The run failed, or is broken.
    RunFailed = 1,
    /// Bad input: usage, diagnostics, an unknown run.
    BadInput = 2,
    /// The store or a needed service cannot be reached, or is held by another process.
    Unreachable = 3,
    /// The run was cancelled by `updraft cancel`.
    Cancelled = 4,
    /// Stopped by a signal; the run stays open for `--resume`.
    Interrupted = 130,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

/// An error that already knows its exit code. The message is for people: place, reason, remedy.
#[derive(Debug)]
pub struct Failure {
    /// How the program ends.
    pub code: ExitCode,
    /// What happened; nothing more is said if it is empty (it was shown already).
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Failure {
    /// Bad input.
    pub fn input(message: impl Into<String>) -> Self {
        Self { code: ExitCode::BadInput, message: message.into(), hint: None }
    }

    /// Something cannot be reached.
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self { code: ExitCode::Unreachable, message: message.into(), hint: None }
    }

    /// An end without a message: it was shown already.
    pub fn silent(code: ExitCode) -> Self {
        Self { code, message: String::new(), hint: None }
    }

    /// The same with a remedy.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<updraft_store::StoreError> for Failure {
    fn from(error: updraft_store::StoreError) -> Self {
        use updraft_store::StoreError as E;
        let code = match &error {
            E::NoRun(_) => ExitCode::BadInput,
            E::Unavailable(_)
            | E::UnknownOutcome(_)
            | E::Conflict(_)
            | E::Full(_)
            | E::Held { .. }
            | E::Schema(_)
            | E::ReadOnly(_)
            | E::Inconsistent { .. }
            | E::Rejected(_)
            | E::Other(_) => ExitCode::Unreachable,
        };
        let hint = matches!(error, E::Held { .. }).then(|| HELD.to_owned());
        Self { code, message: error.to_string(), hint }
    }
}

/// What to do where another process has a SQLite file.
const HELD: &str =
    "one process owns a SQLite store: wait for it, stop it, choose another file by --store, or use PostgreSQL for many";
