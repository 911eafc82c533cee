//! Workflow folders: loaded in parallel, versioned by content, watched, published.
//!
//! ```text
//! folders ──scan──▶ load (changed files only) ──▶ Book (pure: what follows) ──▶ store
//!    ▲                                              │
//!    └── notify, and a look every 30 s              └──▶ View (what is broken, for people)
//! ```
//! A broken file keeps its workflow's last good version running. Runs pin their version, so a change never touches one. A
//! file's absence retires its workflow only when it was missed twice, 5 s apart, in a folder that can be read and is not
//! empty. What was published once from a folder is not published again without an edit: of two processes that disagree
//! about a file, the later publication stands and the other one shows a conflict.
//!
//! **Invariant:** [`book`] does no I/O; it is told what the folders hold and answers what follows.
#![warn(missing_docs)]

mod book;
mod scan;
mod service;
mod watch;

pub use book::{BrokenFile, Conflict, View};
pub use scan::{Content, FolderScan, Found, Loaded, Stamp, find, load, walk};
pub use service::{Catalog, CatalogConfig, CatalogError};
