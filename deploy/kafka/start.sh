#!/usr/bin/env bash
# Starts the broker of docker-compose.yaml: deploy/kafka/server.properties and what depends on the container. With --print it
# only prints these settings.
set -euo pipefail
here="${UPDRAFT_KAFKA_SETTINGS:-/etc/updraft}"
data="${UPDRAFT_KAFKA_DATA:-/var/lib/kafka/data}/log"

settings() {
  cat "$here/server.properties"
  cat <<END

# Containers come by the name kafka; people on the host by the published port, which they must be told.
listeners=PLAINTEXT://:9092,HOST://:29092,CONTROLLER://127.0.0.1:9093
advertised.listeners=PLAINTEXT://kafka:9092,HOST://127.0.0.1:${KAFKA_HOST_PORT:-9092}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,HOST:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.quorum.voters=1@127.0.0.1:9093
log.dirs=$data
END
}

if [ "${1:-}" = --print ]; then
  settings
  exit
fi
settings >/tmp/server.properties
export KAFKA_LOG4J_OPTS="-Dlog4j2.configurationFile=$here/log4j2.properties"
export KAFKA_JVM_PERFORMANCE_OPTS="-XX:+UseSerialGC"
# Formatted by Kafka's own tool, once: a formatted folder is left as it is.
if [ ! -e "$data/meta.properties" ]; then
  /opt/kafka/bin/kafka-storage.sh format --cluster-id "$(/opt/kafka/bin/kafka-storage.sh random-uuid)" --config /tmp/server.properties
fi
exec /opt/kafka/bin/kafka-server-start.sh /tmp/server.properties
