//! An SMTP server that keeps what it gets: aiosmtpd with STARTTLS, and AUTH where it is wanted. `python/smtp_sink.py` tells
//! which recipients it refuses.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Kind, Own, fetch, missing::unless_missing, ports};
use crate::process::Program;

const REQUIREMENTS: &str = include_str!("../../servers/smtp/requirements.txt");
const USER: &str = "updraft";

/// Where the server listens, and who may send.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Address {
    /// Port on 127.0.0.1; the certificate is for that address.
    pub port: u16,
    /// User and password, if the server wants them; then it wants STARTTLS too.
    pub login: Option<(String, String)>,
}

/// A message as it came.
#[derive(Debug, Clone, Deserialize)]
pub struct Mail {
    /// The envelope's sender.
    pub from: String,
    /// The envelope's recipients.
    pub to: Vec<String>,
    /// Who had logged in.
    pub user: Option<String>,
    /// Whether it came over TLS.
    pub tls: bool,
    /// Headers and body, one character per byte.
    pub data: String,
}

/// The server.
#[derive(Debug, Clone)]
pub struct Sink {
    python: PathBuf,
    login: bool,
}

impl Sink {
    fn find(login: bool) -> Result<Self> {
        fetch::need("openssl", "version", "OpenSSL; Debian: `apt-get install openssl`")?;
        let environment = fetch::python(
            "aiosmtpd-1.4.6",
            "1 MB from the Python package index",
            REQUIREMENTS,
            "import aiosmtpd.smtp",
        )?;
        Ok(Self { python: environment.join("bin/python"), login })
    }
}

impl Kind for Sink {
    type Address = Address;

    const NAME: &'static str = "smtp";

    fn prepare(&self, folder: &Path) -> Result<Address> {
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
            .args(["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout", "key.pem", "-out", "cert.pem"])
            .current_dir(folder)
            .stdin(Stdio::null())
            .output()
            .context("cannot run openssl")?;
        ensure!(made.status.success(), "openssl makes no certificate: {}", String::from_utf8_lossy(&made.stderr));
        let login = self.login.then(|| (USER.to_owned(), Uuid::new_v4().simple().to_string()));
        Ok(Address { port: ports::free()?, login })
    }

    fn launch(&self, folder: &Path, address: &Address) -> Program {
        let launch = Program::of_server(&self.python)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python/smtp_sink.py"))
            .arg(address.port.to_string())
            .arg(folder)
            .env("PYTHONDONTWRITEBYTECODE", "1");
        match &address.login {
            Some((user, password)) => launch.env("SMTP_SINK_LOGIN", format!("{user}:{password}")),
            None => launch,
        }
    }

    fn check(address: &Address) -> Result<()> {
        let stream = TcpStream::connect(("127.0.0.1", address.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut greeting = String::new();
        BufReader::new(stream).read_line(&mut greeting)?;
        if !greeting.starts_with("220 ") {
            bail!("it greets with `{}`", greeting.trim_end());
        }
        Ok(())
    }

    fn is_held(log: &str) -> bool {
        log.contains("address already in use")
    }
}

impl Own<Sink> {
    /// Its own certificate, which nobody trusts who was not told to (PEM).
    pub fn certificate(&self) -> PathBuf {
        self.folder().join("cert.pem")
    }

    /// All messages that it took, in order.
    ///
    /// # Errors
    /// Its files cannot be read.
    pub fn mails(&self) -> Result<Vec<Mail>> {
        let folder = self.folder().join("messages");
        let mut files: Vec<PathBuf> =
            fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_, std::io::Error>>()?;
        files.retain(|file| file.extension().is_some_and(|ending| ending == "json"));
        files.sort();
        files.iter().map(|file| Ok(serde_json::from_slice(&fs::read(file)?)?)).collect()
    }
}

/// A server of this test alone that takes mail from everybody; `None`, after a loud skip, if it cannot be had.
///
/// # Errors
/// It can, and does not start.
pub fn own_server() -> Result<Option<Own<Sink>>> {
    unless_missing(Sink::find(false).and_then(Own::start))
}

/// The same, but it wants STARTTLS and AUTH.
///
/// # Errors
/// As [`own_server`].
pub fn own_server_with_login() -> Result<Option<Own<Sink>>> {
    unless_missing(Sink::find(true).and_then(Own::start))
}
