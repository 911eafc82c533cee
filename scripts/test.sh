#!/usr/bin/env bash
# Runs every test. Servers are started by the tests themselves; what cannot be had is skipped loudly, and in CI a skip that is
# not on the reviewed list (.ci/allowed-skips) fails.
set -euo pipefail
cd "$(dirname "$0")/.."
cache="${UPDRAFT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/updraft}"

if ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 && ! command -v initdb >/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing postgresql" >&2
    mkdir -p /etc/postgresql-common
    [ -e /etc/postgresql-common/createcluster.conf ] || echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >/dev/null
  fi
fi

work="$(mktemp -d)"
skips="$work/skips"
testservers="${CARGO_TARGET_DIR:-target}/debug/updraft-testservers"
holder=
clean_up() {
  rm -f "$work/hold"
  [ -z "$holder" ] || wait "$holder" || true
  rm -rf "$work"
}
trap clean_up EXIT
# The servers are fetched and started once, and held for the whole run, however it ends. What cannot be had is skipped, loudly, by
# the tests that need it; what does not work makes them fail.
if [ "${UPDRAFT_NO_SERVICES:-}" != 1 ]; then
  touch "$work/hold"
  (while [ -e "$work/hold" ] && kill -0 $$ 2>/dev/null; do sleep 1; done) | "$testservers" hold >"$work/servers" &
  holder=$!
  while ! grep -qx ready "$work/servers" && kill -0 "$holder" 2>/dev/null; do sleep 0.5; done
  cat "$work/servers"
fi

touch "$skips"
export UPDRAFT_SKIPS="$skips" INSTA_UPDATE=no
profile=default
[ "${CI:-}" = true ] && profile=ci

status=0
"$cache/tools/bin/cargo-nextest" nextest run --workspace --profile "$profile" || status=$?
cargo test --workspace --doc --quiet || status=$?

updraft="${CARGO_TARGET_DIR:-target}/debug/updraft"
if [ "${UPDRAFT_NO_UI:-}" != 1 ]; then
  (cd ui && npm run --silent test && npm run --silent budget) || status=1
  [ -x scripts/ui-e2e.sh ] && { scripts/ui-e2e.sh "$updraft" "${CARGO_TARGET_DIR:-target}/debug/updraft-history" || status=1; }
fi
scripts/schemathesis.sh "$updraft" || status=1

if [ -s "$skips" ]; then
  echo
  echo "SKIPPED:"
  sort -u "$skips"
  if [ "${CI:-}" = true ]; then
    while IFS= read -r line; do
      if ! grep -qxF "$line" .ci/allowed-skips; then
        echo "error: not on the reviewed list .ci/allowed-skips: $line" >&2
        status=1
      fi
    done < <(sort -u "$skips")
  fi
fi
exit "$status"
