//! Variables `UPDRAFT_CONN_NAME__FIELD`.

use std::collections::BTreeMap;

/// How they begin.
pub const PREFIX: &str = "UPDRAFT_CONN_";

/// One of them.
pub(super) struct Variable<'e> {
    /// All of its name.
    pub(super) key: &'e str,
    /// The field's part, in upper case.
    pub(super) field: &'e str,
    /// Its value.
    pub(super) value: &'e str,
}

/// As a variable writes it: upper case, every other character than A–Z 0–9 as `_`.
pub fn variable_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

/// The variables of one connection.
pub(super) fn of_connection<'e>(name: &str, environment: &'e BTreeMap<String, String>) -> Vec<Variable<'e>> {
    let prefix = format!("{PREFIX}{}__", variable_name(name));
    environment
        .iter()
        .filter_map(|(key, value)| Some(Variable { key, field: key.strip_prefix(prefix.as_str())?, value }))
        .collect()
}
