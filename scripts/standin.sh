# Sourced by demo.sh and dev.sh: starts the stand-in OpenSky server and points the connection `opensky` at it.
snapshot=workflows/opensky/demo/states_north_america_ny.json

# start_standin PROGRAM SECONDS
start_standin() {
  announce="$(mktemp)"
  "$1" --listen 127.0.0.1:0 --play "$snapshot" --max-seconds "$2" >"$announce" &
  standin_pid=$!
  trap stop_standin EXIT
  for _ in $(seq 1 100); do
    [ -s "$announce" ] && break
    kill -0 "$standin_pid" 2>/dev/null || { echo "error: the stand-in OpenSky server did not start" >&2; exit 1; }
    sleep 0.1
  done
  field() { python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$announce" "$1"; }
  export UPDRAFT_CONN_OPENSKY__BASE_URL UPDRAFT_CONN_OPENSKY__TOKEN_URL UPDRAFT_CONN_OPENSKY__CLIENT_ID UPDRAFT_CONN_OPENSKY__CLIENT_SECRET
  UPDRAFT_CONN_OPENSKY__BASE_URL="$(field url)"
  UPDRAFT_CONN_OPENSKY__TOKEN_URL="$(field token_url)"
  UPDRAFT_CONN_OPENSKY__CLIENT_ID="$(field client_id)"
  UPDRAFT_CONN_OPENSKY__CLIENT_SECRET="$(field client_secret)"
}

stop_standin() {
  kill "$standin_pid" 2>/dev/null || true
  rm -f "$announce"
}
