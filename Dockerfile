# The images of docker-compose.yaml: `updraft`, `connect` and `spark`. Versions are those of the tests; jars are fetched by the
# lists that the tests use, and compared with the same sums.

FROM node:22.22.0-bookworm-slim AS ui
WORKDIR /src/ui
COPY ui/package.json ui/package-lock.json ./
RUN npm ci --no-audit --no-fund --ignore-scripts
COPY ui ./
RUN npm run build

# Its Debian brings a C compiler, make, OpenSSL and zlib, which librdkafka is built with.
FROM rust:1.95.0-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
COPY orchestrator orchestrator
COPY tasks tasks
COPY workflows workflows
COPY dbt dbt
COPY deploy deploy
COPY ui ui
COPY --from=ui /src/ui/dist ui/dist
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/build \
    CARGO_TARGET_DIR=/build cargo build --release --locked --package updraft && cp /build/release/updraft /updraft

FROM python:3.13.11-slim-bookworm AS updraft
# socat is for `updraft-port`.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates libssl3 zlib1g socat \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --create-home updraft
WORKDIR /srv/updraft
ENV XDG_CACHE_HOME=/opt/cache
COPY scripts/dbt-env.sh scripts/dbt-env.sh
COPY dbt dbt
RUN scripts/dbt-env.sh && rm -r scripts
COPY updraft.yaml updraft.yaml
COPY workflows workflows
COPY --from=build /updraft /usr/local/bin/updraft
# A new volume takes its owner from the folder that it is laid over.
RUN install -d -o updraft -g updraft -m 0700 .updraft
USER updraft
CMD ["updraft", "serve", "--profile", "compose"]

FROM maven:3.9.11-eclipse-temurin-17 AS jars
WORKDIR /jars
COPY orchestrator/crates/testkit/servers/debezium debezium
COPY orchestrator/crates/testkit/servers/spark spark
COPY deploy/jars.sh ./
RUN bash jars.sh debezium && bash jars.sh spark

FROM apache/kafka:4.3.1 AS connect
COPY --from=jars /jars/debezium/jars /opt/connect/plugins/debezium-postgres

FROM apache/spark:4.2.0-python3 AS spark
USER root
COPY --from=jars /jars/spark/jars /opt/updraft/jars
RUN install -d -o spark -g spark /var/spark /var/spark/recovery /var/spark/work
USER spark
