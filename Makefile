# Thin: what each target does is in scripts/ and in the makima binary. Works with GNU make 3.81 and newer.

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-agents test-engines lint bench chaos kills up sqlx

# Queries are checked against .sqlx when something is compiled: no build needs a database.
export SQLX_OFFLINE := true
# A Rust installed a moment ago is not yet on the PATH of this shell.
export PATH := $(PATH):$(HOME)/.cargo/bin

TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
# DATABASE_URL is for what runs, never for what compiles.
CARGO := env -u DATABASE_URL cargo

help: ## show this
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'

setup: ## install what this machine lacks (NO_INSTALL=1 only says so)
	@scripts/setup.sh

demo: setup ## watch the main job: a graph of tasks, a killed worker, a resumed agent
	$(CARGO) build --release --locked -p makima-cli
	$(TARGET_DIR)/release/makima demo

test: setup ## pass all tests, over private servers
	scripts/test.sh

test-agents: setup ## pass the cases of agents with the real clients, from npm into target/agents
	scripts/test-agents.sh

test-engines: ## pass the tests of dispatch on a Redis Cluster, through PgBouncer, over TLS, on Valkey
	@env -u DATABASE_URL -u REDIS_URL scripts/setup.sh engines
	scripts/test-engines.sh

lint: ## check format, clippy and documentation
	@scripts/setup.sh build
	cargo fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --workspace --document-private-items --locked

bench: setup ## measure latency and throughput beside this machine's floor
	$(CARGO) build --release --locked -p makima-cli -p makima-bench -p makima-scripted-model
	$(TARGET_DIR)/release/makima-bench --makima $(TARGET_DIR)/release/makima $(ARGS)

chaos: setup ## break everything at random and judge the invariants: make chaos FAULTS=200 SEED=7
	$(CARGO) build --locked -p makima-cli -p makima-chaos
	$(TARGET_DIR)/debug/makima-chaos --faults $(or $(FAULTS),200) $(if $(SEED),--seed $(SEED)) $(ARGS)

kills: setup ## kill -9 an agent's run five times, its work equal to an undisturbed run's: make kills REPOSITORY=. or FILES=50000
	$(CARGO) build --locked -p makima-cli -p makima-chaos
	$(TARGET_DIR)/debug/makima-chaos kills --workers 2 $(if $(FILES),--files $(FILES),--repository $(or $(REPOSITORY),.)) \
		$(if $(SEED),--seed $(SEED)) $(ARGS)

up: setup ## run everything on this machine: make up ARGS="--workers 2"
	$(CARGO) build --release --locked -p makima-cli
	$(TARGET_DIR)/release/makima up $(ARGS)

sqlx: setup ## write .sqlx anew, after a query or a migration changed
	scripts/sqlx.sh
