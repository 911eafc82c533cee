//! The two programs. MinIO is only run, never linked: its licence (AGPL) stays with it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::Address;
use crate::process::Program;
use crate::services::{Kind, fetch};

const VERSITYGW: (&str, &str, &str) =
    ("v1.8.0", "github.com/versity/versitygw/cmd/versitygw", "h1:au+wI+aybno/STsQiSm35Uu6Q6iK5MWReQxgO6SEMFc=");
/// The module proxy lists no releases of MinIO; this is the newest revision that it has.
const MINIO: (&str, &str, &str) =
    ("v0.0.0-20260212201848-7aac2a2c5b7c", "github.com/minio/minio", "h1:/qdoYujxF5MBLDMVLeiYJ/7fBa1HikX39Dvzb9Ji8pA=");

/// versitygw: buckets are folders, objects are files with extended attributes.
#[derive(Debug, Clone)]
pub struct Versitygw {
    program: PathBuf,
}

impl Versitygw {
    pub(crate) fn find() -> Result<Self> {
        let (version, package, sum) = VERSITYGW;
        Ok(Self { program: fetch::go_program(&format!("versitygw-{version}"), package, version, sum)? })
    }
}

impl Kind for Versitygw {
    type Address = Address;

    const NAME: &'static str = "s3";

    fn prepare(&self, folder: &Path) -> Result<Address> {
        for name in ["root", "iam", "versions"] {
            fs::create_dir(folder.join(name)).with_context(|| format!("cannot make {name}"))?;
        }
        Address::new()
    }

    fn launch(&self, folder: &Path, address: &Address) -> Program {
        Program::of_server(&self.program)
            .args(["--port", &format!("127.0.0.1:{}", address.port), "--health", "/health", "--quiet", "--iam-dir"])
            .arg(folder.join("iam"))
            .args(["posix", "--versioning-dir"])
            .arg(folder.join("versions"))
            .arg(folder.join("root"))
            .env("ROOT_ACCESS_KEY", &address.access_key_id)
            .env("ROOT_SECRET_KEY", &address.secret_access_key)
    }

    fn check(address: &Address) -> Result<()> {
        address.is_ready("/health")
    }
}

/// MinIO.
#[derive(Debug, Clone)]
pub struct Minio {
    program: PathBuf,
}

impl Minio {
    pub(crate) fn find() -> Result<Self> {
        let (version, package, sum) = MINIO;
        Ok(Self { program: fetch::go_program(&format!("minio-{version}"), package, version, sum)? })
    }
}

impl Kind for Minio {
    type Address = Address;

    const NAME: &'static str = "minio";

    fn prepare(&self, folder: &Path) -> Result<Address> {
        fs::create_dir(folder.join("data")).context("cannot make the folder of its data")?;
        Address::new()
    }

    fn launch(&self, folder: &Path, address: &Address) -> Program {
        Program::of_server(&self.program)
            .args(["server", "--quiet", "--anonymous", "--address", &format!("127.0.0.1:{}", address.port)])
            .arg(folder.join("data"))
            .env("MINIO_ROOT_USER", &address.access_key_id)
            .env("MINIO_ROOT_PASSWORD", &address.secret_access_key)
            .env("MINIO_BROWSER", "off")
            .env("MINIO_UPDATE", "off")
    }

    fn check(address: &Address) -> Result<()> {
        address.is_ready("/minio/health/ready")
    }
}
