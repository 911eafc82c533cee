#!/usr/bin/env bash
# Starts the stand-in OpenSky server, points the flagship at it, and runs `updraft dev` on the demo's project: the flagship
# fires every minute from a demo-only file. Ends both together. Arguments: the two programs, then what `updraft dev` takes.
set -euo pipefail
cd "$(dirname "$0")/.."
updraft=$1
standin=$2
shift 2
# shellcheck source=scripts/standin.sh
source scripts/standin.sh
start_standin "$standin" 86400

# A copy of the flagship that fires every minute, for this demo alone; each tenth minute is the flagship's own, since both
# write one DuckDB file.
mkdir -p .updraft/demo
sed -e 's/^id: opensky_data_pipeline$/id: opensky_demo/' \
    -e 's/^description: .*/description: A copy of opensky_data_pipeline that fires every minute against the stand-in/' \
    -e 's/^  cron: .*/  cron: "1-9,11-19,21-29,31-39,41-49,51-59 * * * *"/' \
    -e 's/^    default: \[europe, north_america\]$/    default: [north_america]/' \
    workflows/opensky/data_pipeline.yaml >.updraft/demo/opensky_demo.yaml

echo "A stand-in plays real flight data (see workflows/opensky/demo/ATTRIBUTION.md) as the OpenSky API at $UPDRAFT_CONN_OPENSKY__BASE_URL"
echo "A copy of the flagship, opensky_demo, fires every minute. Ctrl-C ends everything."
"$updraft" dev --folder workflows --folder .updraft/demo "$@" &
daemon=$!
trap 'kill -TERM "$daemon" 2>/dev/null || true; wait "$daemon" 2>/dev/null || true; stop_standin' EXIT
trap 'exit 130' INT TERM
wait "$daemon"
