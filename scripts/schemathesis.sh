#!/usr/bin/env bash
# Fuzzes a daemon of its own by its OpenAPI document: schemathesis, pinned, seeded, with a budget of time.
#
#   scripts/schemathesis.sh UPDRAFT [more options of `schemathesis run`]
#
# UPDRAFT is the binary. Streams and what ends the token's own way in are left out: `GET /events`, `DELETE /tokens/{id}`,
# `POST /auth/logout`, and the login routes, whose limits would answer everything with 429. Two checks are left out: that all
# that fits the schemas is accepted (cursors, zones, params and kinds are no matter of schemas), and that all else is refused
# (a key without a value counts as left out, `?until=`).
set -euo pipefail
updraft=$(realpath "${1:?usage: scripts/schemathesis.sh UPDRAFT}")
shift
cd "$(dirname "$0")/.."

version=4.32.5
seed=${UPDRAFT_FUZZ_SEED:-20261127}
budget=${UPDRAFT_FUZZ_SECONDS:-240}
examples=${UPDRAFT_FUZZ_EXAMPLES:-40}
cache="${UPDRAFT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/updraft}"
venv="$cache/schemathesis-$version"
place=$(mktemp -d)
daemon=

finish() {
    if [ -n "$daemon" ] && kill -INT "$daemon" 2>/dev/null; then
        # A daemon that does not end by itself is a failure too, yet never stays.
        for _ in $(seq 100); do
            kill -0 "$daemon" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL "$daemon" 2>/dev/null || true
    fi
    rm -rf "$place"
}
trap finish EXIT

skipped() {
    echo "SKIPPED schemathesis: $1" >&2
    [ -z "${UPDRAFT_SKIPS:-}" ] || echo "skipped: schemathesis: $1" >>"$UPDRAFT_SKIPS"
    exit 0
}

mkdir -p "$cache"
exec 9>"$cache/schemathesis.lock"
flock 9
if [ "$(cat "$venv/complete" 2>/dev/null || true)" != "$version" ]; then
    echo "installing schemathesis into $venv" >&2
    rm -rf "$venv"
    if ! { python3 -m venv "$venv" &&
        "$venv/bin/pip" install --quiet --disable-pip-version-check --retries 1 "schemathesis==$version"; } >"$place/pip" 2>&1; then
        tail -3 "$place/pip" >&2
        rm -rf "$venv"
        skipped "it cannot be installed (no Python venv, pip or package registry)"
    fi
    echo "$version" >"$venv/complete"
fi
flock -u 9

mkdir "$place/project" "$place/project/workflows"
cp ui/e2e/workflows/*.yaml workflows/examples/hello.yaml "$place/project/workflows/"
cd "$place/project"
unset UPDRAFT_SERVER UPDRAFT_TOKEN UPDRAFT_STORE
"$updraft" dev --json --listen 127.0.0.1:0 >"$place/out" 2>"$place/err" 9>&- &
daemon=$!
url=
for _ in $(seq 300); do
    url=$(sed -n '1s/.*"url": *"\([^"]*\)".*/\1/p' "$place/out")
    [ -z "$url" ] || break
    kill -0 "$daemon" 2>/dev/null || break
    sleep 0.1
done
if [ -z "$url" ]; then
    echo "error: the daemon does not start:" >&2
    cat "$place/err" >&2
    exit 1
fi
token=$("$updraft" tokens create --role admin --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["token"])')

# Real ids for the paths: without them nothing but 404 is ever seen.
"$updraft" trigger hello --wait --json >"$place/run"
"$updraft" trigger e2e_report -p fail=true --wait --json >"$place/failed" || true
"$updraft" connections set shop --kind http base_url=http://127.0.0.1:9 >/dev/null
python3 - "$url" "$token" "$place" <<'PY'
import json, sys, urllib.request

url, token, place = sys.argv[1:]
request = urllib.request.Request(url + "/api/v1/openapi.json", headers={"Authorization": "Bearer " + token})
document = json.load(urllib.request.urlopen(request, timeout=30))
runs = [json.load(open(f"{place}/{name}"))["id"] for name in ("run", "failed")]
known = {
    "run": runs,
    "workflow": ["hello", "e2e_report"],
    "task": ["greet", "validate"],
    "n": [1],
    "version": [1],
    "name": ["shop"],
}
for item in document["paths"].values():
    for operation in item.values():
        for parameter in operation.get("parameters", []):
            values = known.get(parameter["name"]) if parameter["in"] == "path" else None
            if values:
                parameter["examples"] = {str(i): {"value": value} for i, value in enumerate(values)}
                parameter["schema"] = {"anyOf": [{"enum": values}, parameter["schema"]]}
json.dump(document, open(f"{place}/openapi.json", "w"))
PY

status=0
timeout --signal=INT "$budget" "$venv/bin/schemathesis" run "$place/openapi.json" \
    --url "$url" \
    --header "Authorization: Bearer $token" \
    --checks all \
    --exclude-checks positive_data_acceptance,negative_data_rejection \
    --continue-on-failure \
    --exclude-path /api/v1/events \
    --exclude-path '/api/v1/tokens/{id}' \
    --exclude-path-regex '/api/v1/auth/.*' \
    --exclude-path /api/v1/me/password \
    --phases examples,coverage,fuzzing \
    --max-examples "$examples" \
    --seed "$seed" \
    --request-timeout 20 \
    "$@" || status=$?
if ! kill -0 "$daemon" 2>/dev/null; then
    echo "error: the daemon ended while it was asked:" >&2
    tail -50 "$place/err" >&2
    exit 1
fi
case "$status" in
0) echo "schemathesis: nothing found (seed $seed, $SECONDS s)" ;;
# The budget is used up and nothing was found until then: what is found ends with 1.
124) echo "schemathesis: nothing found in $budget s, and not all was asked (seed $seed)" && status=0 ;;
*) echo "schemathesis: failures, see above (seed $seed, $SECONDS s)" >&2 ;;
esac
exit "$status"
