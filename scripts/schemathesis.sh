#!/usr/bin/env bash
# Fuzzes a daemon of its own by its OpenAPI document: schemathesis, pinned, seeded, with a budget of time.
#
#   scripts/schemathesis.sh UPDRAFT [more options of `schemathesis run`]
#
# UPDRAFT is the binary. All phases run (examples, coverage, fuzzing, and the stateful one along the document's links), with all
# checks but for what stands at the second pass. Before that, the document is narrowed by what no schema can say: which runs, workflows, kinds and scopes there are.
# Left out: `GET /events`, which never ends, and headers that the document does not name, which HTTP lets pass.
set -euo pipefail
updraft=$(realpath "${1:?usage: scripts/schemathesis.sh UPDRAFT}")
shift
cd "$(dirname "$0")/.."
here=$PWD/scripts

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
new_token() {
    "$updraft" tokens create --role admin --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["token"])'
}

# Something for each address to find: without it nothing but 404 is ever seen.
"$updraft" trigger hello --wait --json >"$place/run"
"$updraft" trigger e2e_report -p fail=true --wait --json >"$place/failed" || true
"$updraft" connections set shop --kind http base_url=http://127.0.0.1:9 >/dev/null
python3 "$here/schemathesis_prepare.py" "$url" "$(new_token)" "$place"

# Two passes over the same server, each with a token of its own: the edges of every schema, then values that are made up.
# Two checks are off. What no schema can say (which of two fields, which task of which run) is asked for wrongly all the time and
# refused rightly; and some parameters are not looked at where they do not count (`map_index` below 0, `line` and
# `last-event-id` beyond 2^63, a `zone` given twice), though the document bounds them.
status=0
pass() {
    [ "$status" = 0 ] || return 0
    # What is asked may well have ended the last one.
    token=$(new_token)
    SCHEMATHESIS_HOOKS="$here/schemathesis_hooks.py" timeout --signal=INT "$((budget > SECONDS ? budget - SECONDS : 1))" \
        "$venv/bin/schemathesis" --config-file "$here/schemathesis.toml" run "$place/openapi.json" \
        --url "$url" \
        --header "Authorization: Bearer $token" \
        --checks all \
        --exclude-checks positive_data_acceptance,negative_data_rejection \
        --continue-on-failure \
        --exclude-path /api/v1/events \
        --max-examples "$examples" \
        --seed "$seed" \
        --request-timeout 20 \
        "$@" 2>&1 | tee "$place/said" || status=$?
    # `timeout` ends with 124 also when something had been found until then.
    if [ "$status" = 124 ] && grep -q '^Failures:' "$place/said"; then
        status=1
    fi
}
pass --phases examples,coverage "$@"
pass --phases fuzzing,stateful "$@"
if ! kill -0 "$daemon" 2>/dev/null; then
    echo "error: the daemon ended while it was asked:" >&2
    tail -50 "$place/err" >&2
    exit 1
fi
case "$status" in
0) echo "schemathesis: nothing found (seed $seed, $SECONDS s)" ;;
# The budget is used up and nothing was found until then.
124) echo "schemathesis: nothing found in $budget s, and not all was asked (seed $seed)" && status=0 ;;
*) echo "schemathesis: failures, see above (seed $seed, $SECONDS s)" >&2 ;;
esac
exit "$status"
