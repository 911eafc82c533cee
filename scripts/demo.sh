#!/usr/bin/env bash
# Runs the flagship against the stand-in OpenSky server on embedded defaults. Arguments: the two programs.
set -euo pipefail
cd "$(dirname "$0")/.."
updraft=$1
standin=$2
snapshot=workflows/opensky/demo/states_north_america_ny.json

announce="$(mktemp)"
"$standin" --listen 127.0.0.1:0 --play "$snapshot" --max-seconds 900 >"$announce" &
pid=$!
trap 'kill "$pid" 2>/dev/null || true; rm -f "$announce"' EXIT
for _ in $(seq 1 100); do
  [ -s "$announce" ] && break
  kill -0 "$pid" 2>/dev/null || { echo "error: the stand-in OpenSky server did not start" >&2; exit 1; }
  sleep 0.1
done
field() { python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$announce" "$1"; }
export UPDRAFT_CONN_OPENSKY__BASE_URL UPDRAFT_CONN_OPENSKY__TOKEN_URL UPDRAFT_CONN_OPENSKY__CLIENT_ID UPDRAFT_CONN_OPENSKY__CLIENT_SECRET
UPDRAFT_CONN_OPENSKY__BASE_URL="$(field url)"
UPDRAFT_CONN_OPENSKY__TOKEN_URL="$(field token_url)"
UPDRAFT_CONN_OPENSKY__CLIENT_ID="$(field client_id)"
UPDRAFT_CONN_OPENSKY__CLIENT_SECRET="$(field client_secret)"

echo "A stand-in plays real flight data (see workflows/opensky/demo/ATTRIBUTION.md) as the OpenSky API at $UPDRAFT_CONN_OPENSKY__BASE_URL"
status=0
"$updraft" run workflows/opensky/data_pipeline.yaml -p 'regions=["north_america"]' || status=$?
echo "The program is $updraft; put its folder on your PATH to type just \`updraft\`."
exit "$status"
