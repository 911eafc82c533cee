//! docs/security.md names a test for each of its rows: they exist.

const DOCUMENT: &str = include_str!("../../../../../docs/security.md");
const SOURCES: [&str; 17] = [
    include_str!("../../../model/src/access.rs"),
    include_str!("../../src/audit.rs"),
    include_str!("../../src/connections/probe.rs"),
    include_str!("../../src/door/tests.rs"),
    include_str!("../../src/limit.rs"),
    include_str!("../../src/password.rs"),
    include_str!("../../src/principal.rs"),
    include_str!("../../src/secret.rs"),
    include_str!("../../src/vault/keys.rs"),
    include_str!("../../src/vault/mod.rs"),
    include_str!("connections.rs"),
    include_str!("login.rs"),
    include_str!("tokens.rs"),
    include_str!("users.rs"),
    include_str!("../../../../src/daemon/previews.rs"),
    include_str!("../../../../tests/it/e2e_daemon.rs"),
    include_str!("../../../api/tests/it/door.rs"),
];

#[test]
fn every_test_that_the_document_names_exists() {
    // Names of tests are sentences; nothing else in the document has four words and underscores.
    let named: Vec<&str> = DOCUMENT
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|text| text.matches('_').count() >= 3 && !text.contains(' '))
        .collect();
    assert!(named.len() > 40, "{}", named.len());
    for name in named {
        assert!(SOURCES.iter().any(|source| source.contains(&format!("fn {name}()"))), "there is no test `{name}`");
    }
}

#[test]
fn the_table_of_roles_and_scopes_is_complete() {
    for permission in updraft_auth::Permission::ALL {
        let row = DOCUMENT.lines().find(|line| line.starts_with(&format!("| {} |", permission.needs())));
        assert!(row.is_some_and(|row| row.contains(&format!("`{permission}`"))), "{permission}");
    }
    assert!(DOCUMENT.contains(updraft_auth::vault::EXAMPLE_KEY));
}
