//! What a server is, seen from outside: how its folder is made, what is run, how it is asked whether it is ready.

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt::Debug,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Result;
use nix::{sys::signal::Signal, unistd::User};
use serde::{Serialize, de::DeserializeOwned};

/// How long a server may take to answer: several times what it takes on a quiet machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
pub(crate) const PAUSE: Duration = Duration::from_millis(20);

/// What a server sees of our environment. Variables of Java, Python and the services' own tools would change what it does.
const INHERITED: [&str; 5] = ["PATH", "HOME", "TMPDIR", "JAVA_HOME", "LD_LIBRARY_PATH"];

/// A server that can be started.
pub trait Kind: Debug {
    /// What a client has to know: ports, and secrets if there are any. Kept in a file of mode 0600.
    type Address: Debug + Clone + Serialize + DeserializeOwned;

    /// Name of its folder, its log and its row in `services status`.
    const NAME: &'static str;
    /// The signal that makes it end in order.
    const STOP: Signal = Signal::SIGTERM;
    /// The signal that makes it end when its data are about to be deleted.
    const DISCARD: Signal = Signal::SIGTERM;

    /// Whom it runs as, if not as us.
    fn user(&self) -> Option<&User> {
        None
    }

    /// Writes what it needs into an empty folder, and chooses its ports.
    ///
    /// # Errors
    /// Files cannot be written, or a program that prepares them fails.
    fn prepare(&self, folder: &Path) -> Result<Self::Address>;

    /// What is to be run.
    fn launch(&self, folder: &Path, address: &Self::Address) -> Launch;

    /// Asks it whether it is ready for clients. Called again and again while it starts.
    ///
    /// # Errors
    /// It is not.
    fn check(address: &Self::Address) -> Result<()>;

    /// Whether this log of a failed start says that a process before it still holds something, so that another try helps.
    fn is_held(log: &str) -> bool {
        let _ = log;
        false
    }
}

/// A server's command line. Its environment is empty but for what is put there.
#[derive(Debug, Clone)]
pub struct Launch {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
}

impl Launch {
    /// The program at `path`, or found on the `PATH`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let inherited = INHERITED.iter().filter_map(|name| Some(((*name).into(), env::var_os(name)?)));
        let environment = inherited.chain([("LANG".into(), "C.UTF-8".into())]).collect();
        Self { program: path.into(), arguments: Vec::new(), environment }
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// A variable of its environment: where secrets go, since arguments are seen by everybody.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// A command of its own, to be waited for: the programs that come with a server.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env_clear().envs(self.environment.iter().cloned());
        command
    }

    /// `command` with the program and its arguments appended, and its environment.
    pub(super) fn append_to(&self, command: &mut Command) {
        command.env_clear().envs(self.environment.iter().cloned()).arg(&self.program).args(&self.arguments);
    }
}
