#!/usr/bin/env bash
# Fuzzes a running server by its OpenAPI document: schemathesis, pinned, seeded, with a budget of time.
#
#   scripts/schemathesis.sh URL TOKEN [more options of `schemathesis run`]
#
# TOKEN is an admin's. Streams and what ends the token's own way in are left out: `GET /events`, `DELETE /tokens/{id}`,
# `POST /auth/logout`, and the login routes, whose limits would answer everything with 429.
set -euo pipefail

version=4.32.5
seed=${UPDRAFT_FUZZ_SEED:-20261127}
budget=${UPDRAFT_FUZZ_SECONDS:-240}
examples=${UPDRAFT_FUZZ_EXAMPLES:-25}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/updraft/schemathesis-$version

url=${1:?usage: scripts/schemathesis.sh URL TOKEN}
token=${2:?usage: scripts/schemathesis.sh URL TOKEN}
shift 2

if [ ! -x "$cache/bin/schemathesis" ]; then
    python3 -m venv "$cache.new"
    "$cache.new/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version"
    rm -rf "$cache"
    # Scripts of a venv hold its path: made in place, after a complete install has shown that it can be had.
    python3 -m venv "$cache"
    "$cache/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version"
    rm -rf "$cache.new"
fi

document=$(mktemp)
trap 'rm -f "$document"' EXIT
python3 - "$url" "$token" "$document" <<'PY'
import sys, urllib.request
url, token, path = sys.argv[1:]
request = urllib.request.Request(url + "/api/v1/openapi.json", headers={"Authorization": "Bearer " + token})
open(path, "wb").write(urllib.request.urlopen(request, timeout=30).read())
PY

status=0
timeout --signal=INT "$budget" "$cache/bin/schemathesis" run "$document" \
    --url "$url" \
    --header "Authorization: Bearer $token" \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance \
    --exclude-path /api/v1/events \
    --exclude-path '/api/v1/tokens/{id}' \
    --exclude-path-regex '/api/v1/auth/.*' \
    --exclude-path /api/v1/me/password \
    --phases examples,coverage,fuzzing \
    --max-examples "$examples" \
    --generation-deterministic \
    --seed "$seed" \
    --request-timeout 20 \
    "$@" || status=$?
# 124: the budget is used up and nothing was found until then.
if [ "$status" -eq 124 ]; then
    echo "schemathesis: no failure within $budget s"
    status=0
fi
exit "$status"
