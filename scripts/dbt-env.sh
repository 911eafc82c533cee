#!/usr/bin/env bash
# Makes the Python environment that dbt runs in, once per set of pinned versions:
#   ${XDG_CACHE_HOME:-$HOME/.cache}/updraft/dbt -> dbt-<hash of dbt/requirements.txt and the Python version>
# Environments cannot be moved after they were made, so the link, not the folder, is what appears when all is done.
# Prints the folder. Python 3.11 to 3.13, network to the Python package index on first use.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
requirements=$here/dbt/requirements.txt
cache=${XDG_CACHE_HOME:-$HOME/.cache}/updraft

fail() {
  echo "dbt-env: $*" >&2
  exit 1
}

usable() {
  command -v "$1" >/dev/null 2>&1 &&
    "$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' >/dev/null 2>&1
}

python=
for candidate in ${UPDRAFT_PYTHON:-} python3 python3.13 python3.12 python3.11; do
  if usable "$candidate"; then
    python=$candidate
    break
  fi
done
[ -n "$python" ] || fail "no Python 3.11 to 3.13 with venv found. Install one (Debian: apt-get install python3 python3-venv) or name it in UPDRAFT_PYTHON."

version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
hash=$( (cat "$requirements"; echo "$version") | sha256sum | cut -c1-12)
folder=$cache/dbt-$hash
link=$cache/dbt
mkdir -p "$cache"

exec 9>"$cache/dbt.lock"
if ! flock -n 9; then
  echo "dbt-env: another process is making the environment, waiting" >&2
  flock 9
fi

if [ ! -e "$folder/complete" ]; then
  echo "dbt-env: installing dbt into $folder (Python $version, about 240 MB, a minute)" >&2
  "$python" -m venv --clear "$folder"
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --requirement "$requirements" ||
    fail "pip could not install $requirements; its message stands above. Run this script again when the package index can be reached."
  "$folder/bin/python" -c 'import dbt.cli.main, dbt.adapters.clickhouse, dbt.adapters.duckdb, dbt.adapters.postgres' ||
    fail "dbt was installed into $folder but does not start; remove that folder and run this script again."
  touch "$folder/complete"
fi

if [ -e "$link" ] && [ ! -L "$link" ]; then
  fail "$link is not a link made by this script; move it away and run this script again."
fi
ln -sfn "$(basename "$folder")" "$link.part"
mv -fT "$link.part" "$link"
echo "$link"
