#!/usr/bin/env bash
# Builds the web UI into ui/dist, which the binary embeds; does nothing if it is current. Node 20.19 or newer with npm.
# UPDRAFT_NO_UI=1 leaves it out: the binary then says so instead of showing pages.
set -euo pipefail
cd "$(dirname "$0")/.."
cache="${UPDRAFT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/updraft}"
[ "${UPDRAFT_NO_UI:-}" = 1 ] && exit 0

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
  echo "error: not found: node and npm, which build the web UI" >&2
  echo "help: install Node 20.19 or newer, or leave the UI out with UPDRAFT_NO_UI=1" >&2
  exit 1
fi
if ! node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)'; then
  echo "error: Node $(node --version) is too old for the web UI: it takes 20.19 or newer" >&2
  exit 1
fi

mkdir -p "$cache"
exec 9>"$cache/ui.lock"
flock 9
lock_hash="$(sha256sum ui/package-lock.json | cut -d' ' -f1)"
if [ "$(cat ui/node_modules/.updraft-lock 2>/dev/null || true)" != "$lock_hash" ]; then
  echo "installing the UI's packages (a minute, 350 MB)" >&2
  (cd ui && npm ci --no-audit --no-fund --loglevel=error --ignore-scripts --prefer-offline --cache "$cache/npm")
  echo "$lock_hash" >ui/node_modules/.updraft-lock
fi

source_hash="$(find ui -type f -not -path 'ui/node_modules/*' -not -path 'ui/dist/*' -not -path 'ui/e2e/*' -not -path 'ui/test/*' -not -path 'ui/dev/*' -print0 |
  sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1)"
if [ "$(cat ui/dist/.updraft-source 2>/dev/null || true)" != "$source_hash" ]; then
  echo "building the UI" >&2
  (cd ui && npm run --silent build -- --logLevel warn)
  echo "$source_hash" >ui/dist/.updraft-source
  # The binary carries the build, and cargo looks at sources alone.
  touch orchestrator/src/ui_assets.rs
fi
