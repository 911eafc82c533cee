#!/usr/bin/env bash
# Makes the flagship's topics where they are missing; those that are there stay as they are.
set -euo pipefail
tool="${KAFKA_TOPICS:-/opt/kafka/bin/kafka-topics.sh}"

topic() {
  local name="$1" partitions="$2"
  shift 2
  "$tool" --bootstrap-server "$BOOTSTRAP_SERVERS" --create --if-not-exists --topic "$name" --partitions "$partitions" \
    --replication-factor 1 "$@"
}

topic raw_flights 6 --config retention.ms=172800000
topic raw_flights.dlq 1 --config retention.ms=2592000000
topic processed_flights 6 --config retention.ms=172800000
topic updraft.batches 1 --config cleanup.policy=compact
