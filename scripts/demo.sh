#!/usr/bin/env bash
# Runs the flagship against the stand-in OpenSky server on embedded defaults. Arguments: the two programs.
set -euo pipefail
cd "$(dirname "$0")/.."
updraft=$1
standin=$2
# shellcheck source=scripts/standin.sh
source scripts/standin.sh
start_standin "$standin" 900

echo "A stand-in plays real flight data (see workflows/opensky/demo/ATTRIBUTION.md) as the OpenSky API at $UPDRAFT_CONN_OPENSKY__BASE_URL"
status=0
"$updraft" run workflows/opensky/data_pipeline.yaml -p 'regions=["north_america"]' || status=$?
echo "The program is $updraft; put its folder on your PATH to type just \`updraft\`."
[ "$status" = 0 ] && echo "Next: \`make dev\` starts the daemon, with this pipeline firing every minute, and opens the run history in a browser."
exit "$status"
