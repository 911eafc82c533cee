//! Who may do what: passwords, sessions, tokens, roles, login limits, the audit chain, and the vault that seals secrets at rest.
#![warn(missing_docs)]
