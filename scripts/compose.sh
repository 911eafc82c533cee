#!/usr/bin/env bash
# The containers of docker-compose.yaml: compose.sh env | up | down | logs [SERVICE…]
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  echo "error: $1" >&2
  echo "help: $2" >&2
  exit 1
}

need_docker() {
  command -v docker >/dev/null || fail "docker is not here" \
    "install Docker Engine 24 or newer with its compose plugin; without containers: cargo xtask services up"
  docker compose version >/dev/null 2>&1 || fail "docker has no compose plugin" \
    "install docker-compose-plugin (Debian's and Docker's packages) 2.24 or newer"
  docker info >/dev/null 2>&1 || fail "Docker's engine does not answer" \
    "start it (systemctl start docker), and see that you are in the group docker"
}

random_hex() {
  od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}

# .env as .env.example says, with a secret for each name without a value. One that is there is not touched.
make_env() {
  [ -e .env ] && return
  umask 077
  while IFS= read -r line; do
    case "$line" in
      \#*) echo "$line" ;;
      UPDRAFT_MASTER_KEY=) echo "$line$(head -c 32 /dev/urandom | base64)" ;;
      *=) echo "$line$(random_hex)" ;;
      *) echo "$line" ;;
    esac
  done <.env.example >.env.part
  mv .env.part .env
  echo "wrote .env with new secrets: keep a copy of UPDRAFT_MASTER_KEY elsewhere" >&2
}

case "${1:-}" in
  env)
    [ ! -e .env ] || echo ".env is there already, and stays as it is" >&2
    make_env
    ;;
  up)
    need_docker
    make_env
    docker compose ${PROFILE:+--profile "$PROFILE"} up --detach --build --wait
    echo "Updraft is at http://127.0.0.1:$(docker compose port updraft 8766 | sed 's/.*://')"
    # As long as there is no admin: the newest link, which works once.
    docker compose logs --no-log-prefix updraft | { grep -A1 'It has no admin yet' || true; } | tail -2
    ;;
  down)
    need_docker
    # Of all profiles; data stay in the volumes (docker compose down --volumes removes them).
    docker compose --profile '*' down
    ;;
  logs)
    need_docker
    shift
    docker compose --profile '*' logs --follow --tail 200 "$@"
    ;;
  *)
    fail "compose.sh ${1:-} is not known" "scripts/compose.sh env | up | down | logs [SERVICE…]"
    ;;
esac
