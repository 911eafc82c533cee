#!/usr/bin/env bash
# Looks for what the build needs from the system. As root, Debian's packages are installed; else they are named.
set -euo pipefail

missing=()
for tool in cargo python3 cc make; do
  command -v "$tool" >/dev/null || missing+=("$tool")
done
if [ ${#missing[@]} -gt 0 ]; then
  echo "error: not found: ${missing[*]}" >&2
  echo "help: Updraft builds with Rust 1.95 (cargo), Node 20 with npm, Python 3.11 with venv, a C compiler and make" >&2
  exit 1
fi

packages=()
command -v pkg-config >/dev/null || packages+=(pkg-config)
pkg-config --exists openssl 2>/dev/null || packages+=(libssl-dev)
pkg-config --exists zlib 2>/dev/null || packages+=(zlib1g-dev)
[ ${#packages[@]} -eq 0 ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing ${packages[*]}" >&2
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
else
  echo "error: system packages are missing: ${packages[*]}" >&2
  echo "help: sudo apt-get install ${packages[*]}   (or their equivalents on your system)" >&2
  exit 1
fi
