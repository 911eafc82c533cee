#!/usr/bin/env bash
# Kills the process, Kafka, ClickHouse and PostgreSQL (`kill -9`) at each task's beginning and end of a run of the flagship on
# real servers, and prints for each kill whether the run ended right, with nothing lost and nothing doubled. Half an hour.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo test --package updraft --test it -- --ignored --nocapture the_whole_matrix_of_kills 2>&1 |
    tee "${TMPDIR:-/tmp}/updraft-kill-matrix.log" | grep --line-buffered "^kill -9 of"
