#!/usr/bin/env bash
# Roles and databases, made once, when the container's volume is new. No role but postgres is a superuser; passwords come from the
# environment and stand in no command line.
set -euo pipefail
psql --no-psqlrc --quiet -v ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
\getenv updraft UPDRAFT_DB_PASSWORD
\getenv opensky OPENSKY_DB_PASSWORD
\getenv debezium DEBEZIUM_DB_PASSWORD
\getenv grafana GRAFANA_DB_PASSWORD
-- A password is not written to the server's log if a statement fails.
set log_min_error_statement = panic;

-- What Updraft keeps of its runs.
create role updraft login password :'updraft';
create database updraft owner updraft;

-- The flagship's warehouse.
create role opensky login password :'opensky';
create database opensky owner opensky;

-- Change data capture reads the log through a slot, and the tables for the first snapshot.
create role debezium login replication password :'debezium';
-- The dashboards look, and change nothing.
create role grafana login password :'grafana';
grant pg_read_all_data to debezium, grafana;
alter role grafana set default_transaction_read_only = on;
alter role grafana set statement_timeout = '30s';
revoke connect on database updraft, opensky from public;
grant connect on database opensky to debezium, grafana;
SQL
