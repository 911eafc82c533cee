#!/usr/bin/env bash
# Builds the release binary without the heavy tasks and measures hops, fan-out, runs and trigger on every store.
# Writes JSON lines to target/bench.jsonl; docs/benchmarks.md quotes them.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release -p updraft --no-default-features --features sqlite,postgres
updraft="${CARGO_TARGET_DIR:-target}/release/updraft"
out="${CARGO_TARGET_DIR:-target}/bench.jsonl"
: >"$out"
work="$(mktemp -d)"
servers=
cleanup() {
  [ -n "$servers" ] && kill "$servers" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

stores=("sqlite:$work/bench.db")
if [ -n "${UPDRAFT_BENCH_POSTGRES:-}" ]; then
  stores+=("$UPDRAFT_BENCH_POSTGRES")
else
  cargo build -q --workspace --all-targets
  mkfifo "$work/hold"
  "${CARGO_TARGET_DIR:-target}/debug/updraft-testservers" postgres --own <"$work/hold" >"$work/pg.json" &
  servers=$!
  exec 8>"$work/hold"
  for _ in $(seq 1 300); do [ -s "$work/pg.json" ] && break; sleep 0.1; done
  stores+=("$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["url"])' "$work/pg.json")")
fi

for store in "${stores[@]}"; do
  for bench in "chain --tasks 1000" "fanout --tasks 1000" "fanout --tasks 10000" "runs --tasks 1000" "trigger --tasks 200"; do
    # shellcheck disable=SC2086
    "$updraft" bench $bench --store "$store" --json | tee -a "$out"
  done
done
echo "figures: $out" >&2
