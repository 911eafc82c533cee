//! Where daemons listen beside their store.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::compose::StoreUrl;
use crate::project::Project;

/// The longest path of a socket that the system takes.
const LONGEST: usize = 107;

/// The sockets of one store.
pub struct Sockets {
    folder: PathBuf,
    stem: String,
    /// Others may write into the folder: only sockets of this user count.
    shared: bool,
}

/// The sockets of a store: beside the file, or for a server in the project's own folder; where that path is too long for a
/// socket, in the folder for temporary files.
pub fn sockets(store: &StoreUrl, project: &Project) -> Sockets {
    let (folder, stem) = beside(store, project);
    let longest = folder.join(format!("{stem}-{}.sock", u32::MAX));
    if longest.as_os_str().len() <= LONGEST {
        return Sockets { folder, stem, shared: false };
    }
    let digest = Sha256::digest(longest.as_os_str().as_encoded_bytes());
    Sockets {
        folder: std::env::temp_dir(),
        stem: format!("updraft-api-{}", HEXLOWER.encode(&digest[..6])),
        shared: true,
    }
}

fn beside(store: &StoreUrl, project: &Project) -> (PathBuf, String) {
    match store {
        StoreUrl::Sqlite(path) => {
            let folder = path.parent().map_or_else(PathBuf::new, PathBuf::from);
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (folder, format!("{name}.api"))
        }
        StoreUrl::Postgres(url) => {
            // Two daemons of a project may be on two databases: the name tells them apart without telling the address.
            let digest = Sha256::digest(url.as_bytes());
            (project.data_dir(), format!("api-{}", HEXLOWER.encode(&digest[..6])))
        }
        StoreUrl::Memory => (project.data_dir(), "api-memory".to_owned()),
    }
}

impl Sockets {
    /// The socket of this process.
    pub fn own(&self) -> PathBuf {
        self.folder.join(format!("{}-{}.sock", self.stem, std::process::id()))
    }

    /// A socket that somebody answers on; those of dead processes are removed.
    pub async fn live(&self) -> Option<PathBuf> {
        let prefix = format!("{}-", self.stem);
        let entries = std::fs::read_dir(&self.folder).ok()?;
        let mut names: Vec<PathBuf> = entries
            .flatten()
            .filter(|entry| {
                let path = entry.path();
                entry.file_name().to_string_lossy().starts_with(&prefix)
                    && path.extension().is_some_and(|end| end == "sock")
                    && (!self.shared
                        || entry.metadata().is_ok_and(|about| about.uid() == nix::unistd::getuid().as_raw()))
            })
            .map(|entry| entry.path())
            .collect();
        names.sort();
        for path in names {
            match tokio::net::UnixStream::connect(&path).await {
                Ok(_) => return Some(path),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                    // Nobody listens there any more. Another command may remove it first.
                    let _ = std::fs::remove_file(&path);
                }
                Err(_) => {}
            }
        }
        None
    }
}
