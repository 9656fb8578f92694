#!/bin/sh
# Builds all tests and runs them over private servers (or those of DATABASE_URL and REDIS_URL), then a short run of
# faults. Arguments go to cargo test, and leave the faults out: scripts/test.sh -p makima-shared store::
set -eu
cd "$(dirname "$0")/.."

export SQLX_OFFLINE=true
target="${CARGO_TARGET_DIR:-target}"

# Nothing is compiled while DATABASE_URL is set, nor while servers wait for it.
env -u DATABASE_URL cargo build --locked --workspace
env -u DATABASE_URL cargo test --locked --workspace --no-run
if [ $# -gt 0 ]; then exec "$target/debug/makima" services -- cargo test --locked "$@"; fi
"$target/debug/makima" services -- cargo test --locked --workspace
# Over servers of its own, with a new seed each time. One line if every invariant holds, the whole story if not.
exec "$target/debug/makima-chaos" --faults 12 --brief
