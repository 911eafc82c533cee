//! The pages, built by `make ui` into `ui/dist` and carried in the binary. A build without them says so instead.

use data_encoding::HEXLOWER;
use rust_embed::RustEmbed;
use updraft_api::{Asset, Assets};

#[derive(RustEmbed)]
#[folder = "../ui/dist"]
#[allow_missing = true]
#[exclude = ".*"]
struct Files;

/// The carried pages.
pub struct Pages;

impl Pages {
    /// `None` in a build that carries none.
    pub fn carried() -> Option<Self> {
        Files::get("index.html").map(|_| Self)
    }
}

impl Assets for Pages {
    fn get(&self, path: &str) -> Option<Asset> {
        let file = Files::get(path)?;
        let hash = HEXLOWER.encode(&file.metadata.sha256_hash()[..12]);
        let kind = file.metadata.mimetype();
        let content_type = if kind.starts_with("text/") || kind == "application/javascript" {
            format!("{kind}; charset=utf-8")
        } else {
            kind.to_owned()
        };
        Some(Asset { bytes: file.data, content_type, hash })
    }
}
