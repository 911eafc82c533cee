#!/usr/bin/env bash
# Builds the release binary without the heavy tasks and measures hops, fan-out, runs and triggers on every store, beside the
# bare commit of the same store; then schedules, the API and the daemon. Figures: bench.jsonl and bench-daemon.txt in the
# target folder, and tables; docs/benchmarks.md quotes them.
#   UPDRAFT_BENCH_POSTGRES=postgres://…  measures that server instead of a private one
#   UPDRAFT_BENCH_REPEAT=3               measures each row so many times (default 1)
set -euo pipefail
cd "$(dirname "$0")/.."
target="${CARGO_TARGET_DIR:-target}"
out="$target/bench.jsonl"

cargo build --release -p updraft --no-default-features --features sqlite,postgres
updraft="$target/release/updraft"

# On the disk that everything else is on: a folder in memory would flush nothing.
work="$(mktemp -d "$target/bench.XXXXXX")"
server=
cleanup() {
  if [ -n "$server" ]; then
    exec 8>&- # the server ends with its standard input
    wait "$server" || true
  fi
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

postgres="${UPDRAFT_BENCH_POSTGRES:-}"
if [ -z "$postgres" ]; then
  cargo build -q -p updraft-testkit --bin updraft-testservers
  mkfifo "$work/hold"
  "$target/debug/updraft-testservers" postgres --own <"$work/hold" >"$work/server.json" &
  server=$!
  exec 8>"$work/hold"
  while [ ! -s "$work/server.json" ] && kill -0 "$server" 2>/dev/null; do sleep 0.1; done
  if [ -s "$work/server.json" ]; then
    postgres="$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["url"])' "$work/server.json")"
  else
    echo "note: no PostgreSQL on this machine: its rows are left out (install the package postgresql, or set UPDRAFT_BENCH_POSTGRES)" >&2
  fi
fi

: >"$out"
for repeat in $(seq 1 "${UPDRAFT_BENCH_REPEAT:-1}"); do
  for kind in memory sqlite postgres; do
    for bench in "chain --tasks 2001" "fanout --tasks 1000" "fanout --tasks 10000" "runs --tasks 1000" "trigger --tasks 500"; do
      case "$kind" in
        memory) store=memory ;;
        sqlite) store="sqlite:$work/${bench// /}-$repeat.db" ;;
        postgres) store="$postgres" ;;
      esac
      [ -n "$store" ] || continue
      # shellcheck disable=SC2086
      "$updraft" bench $bench --store "$store" --json 8>&- >>"$out"
    done
  done
done

python3 scripts/bench_table.py "$out"

# The store with the schedules is left full, so each is measured once.
daemon="$target/bench-daemon.txt"
: >"$daemon"
for store in "sqlite:$work/daemon.db" ${postgres:+"$postgres"}; do
  for bench in "api --tasks 1000" "schedules --tasks 1000"; do
    case "$bench" in api*) at="${store/daemon.db/api.db}" ;; *) at="$store" ;; esac
    # shellcheck disable=SC2086
    "$updraft" bench $bench --store "$at" 8>&- | tee -a "$daemon"
  done
done
python3 scripts/bench_daemon.py "$updraft"
echo "load of this machine (1, 5, 15 min): $(cut -d' ' -f1-3 /proc/loadavg); figures: $out" >&2
