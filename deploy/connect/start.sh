#!/usr/bin/env bash
# Starts the Connect worker of docker-compose.yaml: deploy/connect/connect.properties and what depends on the container. With
# --print it only prints these settings.
set -euo pipefail
here="${UPDRAFT_CONNECT_SETTINGS:-/etc/updraft}"

settings() {
  cat "$here/connect.properties"
  cat <<END

bootstrap.servers=$BOOTSTRAP_SERVERS
listeners=http://0.0.0.0:8083
rest.advertised.host.name=${ADVERTISED_HOST:-connect}
rest.advertised.port=8083
plugin.path=/opt/connect/plugins
# A connector names its password as \${env:DEBEZIUM_DB_PASSWORD}: Connect's REST interface shows settings to whoever asks.
config.providers=env
config.providers.env.class=org.apache.kafka.common.config.provider.EnvVarConfigProvider
config.providers.env.param.allowlist.pattern=^DEBEZIUM_.*
END
}

if [ "${1:-}" = --print ]; then
  settings
  exit
fi
settings >/tmp/connect.properties
export KAFKA_LOG4J_OPTS="-Dlog4j2.configurationFile=$here/log4j2.properties"
export KAFKA_JVM_PERFORMANCE_OPTS="-XX:+UseSerialGC"
exec /opt/kafka/bin/connect-distributed.sh /tmp/connect.properties
