#!/usr/bin/env bash
# Kills the run, the daemon, Kafka, ClickHouse and PostgreSQL (`kill -9`) at each task's beginning and end of a run of the flagship on
# real servers, and in the middle of what writes, and prints for each kill whether the run ended right, with nothing lost and
# nothing doubled. An hour for all.
#   scripts/kill-matrix.sh [run] [daemon] [kafka] [clickhouse] [postgres]
set -euo pipefail
cd "$(dirname "$0")/.."
export UPDRAFT_KILL="$*"
cargo test --package updraft --test it -- --ignored --nocapture the_whole_matrix_of_kills 2>&1 |
    tee "${TMPDIR:-/tmp}/updraft-kill-matrix.log" | grep --line-buffered "kill -9 of"
