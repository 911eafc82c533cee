# Everything that a person types. Real work is in the program and in `cargo xtask`.
SHELL := /bin/bash
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/updraft
export CARGO_TARGET_DIR ?= $(CACHE)/target
export UPDRAFT_CACHE := $(CACHE)
UPDRAFT := $(CARGO_TARGET_DIR)/debug/updraft
STANDIN := $(CARGO_TARGET_DIR)/debug/opensky-standin

.DEFAULT_GOAL := help
.PHONY: help demo dev test test-core lint gen bench build ui dbt tools system env up down logs

help: ## Lists the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: build dbt ## Builds everything and runs the flagship on embedded defaults
	@scripts/demo.sh "$(UPDRAFT)" "$(STANDIN)"

dev: build dbt ## Starts the daemon on embedded defaults, with the flagship firing every minute against the stand-in
	@scripts/dev.sh "$(UPDRAFT)" "$(STANDIN)" $(ARGS)

test: build dbt tools ## Installs and starts what the tests need, and runs everything
	@scripts/test.sh

test-core: build dbt tools ## The same without servers other than PostgreSQL
	@UPDRAFT_NO_SERVICES=1 scripts/test.sh

lint: system ui tools ## Format, clippy, layers, licences; the UI's lint and types
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo xtask layers
	cargo fetch --quiet --locked
	"$(CACHE)/tools/bin/cargo-deny" --offline check licenses bans sources
	cd ui && npm run --silent lint && npm run --silent typecheck && npm run --silent api:check

gen: system ## Makes every generated file
	cargo xtask gen

bench: system ui ## Measures the release build and writes the figures that docs/benchmarks.md quotes
	@scripts/bench.sh

env: ## Writes .env with new secrets for docker-compose.yaml
	@scripts/compose.sh env

up: ## Starts the containers of docker-compose.yaml: PROFILE=full for all of them
	@PROFILE="$(PROFILE)" scripts/compose.sh up

down: ## Ends the containers; their data stay
	@scripts/compose.sh down

logs: ## Follows the containers' logs: SERVICE=kafka for one
	@scripts/compose.sh logs $(SERVICE)

build: system ui
	@cargo build --workspace --all-targets

ui:
	@scripts/ui.sh

dbt:
	@scripts/dbt-env.sh

tools:
	@scripts/tools.sh

system:
	@scripts/system.sh
