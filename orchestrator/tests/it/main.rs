//! The real binary from outside: what a person types, reads and gets back.
#![expect(clippy::unwrap_used, reason = "tests")]

mod cli_accounts;
mod cli_check;
mod cli_docs;
mod cli_doctor;
mod cli_exit_codes;
mod cli_help;
mod cli_history;
mod cli_postgres;
mod cli_reach;
mod cli_run;
mod cli_store;
mod cli_support;
mod compose_dashboards;
mod compose_file;
mod compose_settings;
mod crash_recovery;
mod e2e_batch;
mod e2e_batch_services;
mod e2e_daemon;
mod e2e_faults;
mod e2e_flagship;
mod e2e_kills;
mod e2e_services;
mod e2e_spark;
mod e2e_support;
mod e2e_upkeep;
