#!/bin/sh
# Builds all tests and runs them over private servers (or those of DATABASE_URL and REDIS_URL). Arguments go to
# cargo test: scripts/test.sh -p makima-shared store::
set -eu
cd "$(dirname "$0")/.."

export SQLX_OFFLINE=true
target="${CARGO_TARGET_DIR:-target}"

# Nothing is compiled while DATABASE_URL is set, nor while servers wait for it.
env -u DATABASE_URL cargo build --locked --workspace
env -u DATABASE_URL cargo test --locked --workspace --no-run
[ $# -gt 0 ] || set -- --workspace
exec "$target/debug/makima" services -- cargo test --locked "$@"
