//! The generated document is the one that the user interface was generated from.

/// `UPDRAFT_UPDATE=1 cargo test -p updraft-api openapi` writes it anew.
#[test]
fn the_document_is_the_committed_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    let made = updraft_api::openapi_json();
    if std::env::var_os("UPDRAFT_UPDATE").is_some() {
        std::fs::write(path, &made).expect("openapi.json can be written");
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == made, "openapi.json differs: run `UPDRAFT_UPDATE=1 cargo test -p updraft-api openapi`");
}
