#!/usr/bin/env bash
# The pages in a real browser, against a real daemon on a planted history: `scripts/ui-e2e.sh UPDRAFT UPDRAFT_HISTORY [WORDS…]`.
# UPDRAFT_E2E_LOG_MIB=1024 plants a log of a GiB; UPDRAFT_E2E_YEAR=20 a year of 20 workflows, and the one with the wide grid.
# Words choose the steps whose names hold one of them. Screenshots and the daemon's output land in ${CARGO_TARGET_DIR:-target}/ui-e2e.
# Without Chromium it says so in the file that UPDRAFT_SKIPS names, and passes.
set -euo pipefail
if [ $# -lt 2 ]; then
  echo "usage: scripts/ui-e2e.sh UPDRAFT UPDRAFT_HISTORY [WORDS…]" >&2
  exit 2
fi
updraft="$(realpath "$1")" history="$(realpath "$2")"
shift 2
cd "$(dirname "$0")/.."
root="$PWD"

skip() {
  echo "skipped: the pages in a browser: $1" | tee -a "${UPDRAFT_SKIPS:-/dev/null}" >&2
  exit 0
}

find_chromium() {
  local name
  for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome-stable google-chrome; do
    if [ -n "$name" ] && command -v "$name" >/dev/null; then command -v "$name"; return; fi
  done
}
chromium="$(find_chromium)"
if [ -z "$chromium" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing chromium" >&2
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } >/dev/null 2>&1 || true
  chromium="$(find_chromium)"
fi
[ -n "$chromium" ] || skip "no Chromium found (install the package chromium)"
command -v node >/dev/null || skip "no Node found"
# The runner's packages; the pages themselves are in the binary.
scripts/ui.sh
[ -d ui/node_modules/playwright-core ] || skip "the UI's packages are not installed (UPDRAFT_NO_UI)"

out="${CARGO_TARGET_DIR:-target}/ui-e2e"
mkdir -p "$out"
out="$(realpath "$out")"
find "$out" -maxdepth 1 -name '*.png' -delete
rm -f "$out"/daemon.*
project="$(mktemp -d)"
finish() {
  # One step kills the daemon and starts it again: whichever runs now.
  local daemon
  daemon="$(cat "$project/daemon.pid" 2>/dev/null || true)"
  if [ -n "$daemon" ] && kill -0 "$daemon" 2>/dev/null; then
    # The first signal lets running attempts end, the second stops them.
    kill -TERM "$daemon" 2>/dev/null || true
    sleep 0.5
    kill -TERM "$daemon" 2>/dev/null || true
    for _ in $(seq 50); do kill -0 "$daemon" 2>/dev/null || break; sleep 0.1; done
    kill -KILL "$daemon" 2>/dev/null || true
  fi
  rm -rf "$project"
}
trap finish EXIT
trap 'exit 130' INT TERM

mkdir -p "$project/.updraft" "$project/workflows"
cp ui/e2e/workflows/*.yaml "$project/workflows/"
"$history" --store "sqlite:$project/.updraft/updraft.db" --files "$project/planted" \
  ${UPDRAFT_E2E_LOG_MIB:+--log-mib "$UPDRAFT_E2E_LOG_MIB"} ${UPDRAFT_E2E_YEAR:+--year --workflows "$UPDRAFT_E2E_YEAR"} \
  >"$out/planted.txt"
# One file that does not say what a workflow is.
cp "$project/planted/flight_prices.yaml" "$project/workflows/"
tail -n 1 "$out/planted.txt" >"$out/planted.json"

# `start.sh ADDRESS`; nothing of whoever runs this decides what is tested.
cat >"$project/start.sh" <<EOF
echo \$\$ >"$project/daemon.pid"
exec env -u UPDRAFT_STORE -u UPDRAFT_SERVER -u UPDRAFT_TOKEN "$updraft" dev --json --listen "\$1" --folder workflows -C "$project" \\
  >>"$out/daemon.out" 2>>"$out/daemon.err"
EOF
bash "$project/start.sh" 127.0.0.1:0 &
daemon=$!
# Its end is a step of the tests and no news of the shell.
disown
for _ in $(seq 300); do
  [ -s "$out/daemon.out" ] && break
  kill -0 "$daemon" 2>/dev/null || break
  sleep 0.1
done
if ! [ -s "$out/daemon.out" ]; then
  echo "error: the daemon did not start:" >&2
  cat "$out/daemon.err" >&2
  exit 1
fi
field() { head -n 1 "$out/daemon.out" | node -pe "JSON.parse(require('fs').readFileSync(0, 'utf8')).$1"; }

large="$(node -pe "JSON.parse(require('fs').readFileSync('$out/planted.json', 'utf8')).large_log ?? ''")"
url="$(field url)"

cd "$root/ui"
CHROMIUM="$chromium" UPDRAFT_E2E_URL="$url" UPDRAFT_E2E_LOGIN_URL="$(field login_url)" UPDRAFT_E2E_OUT="$out" \
  UPDRAFT_E2E_PLANTED="$out/planted.json" UPDRAFT_E2E_HUGE="${UPDRAFT_E2E_HUGE:-$large}" UPDRAFT_E2E_PID="$project/daemon.pid" \
  UPDRAFT_E2E_START="bash '$project/start.sh' '${url#http://}'" npm run --silent e2e -- "$@"
