#!/bin/sh
# Runs the cases of agents with the real clients, installed from npm into the target directory and nowhere else. They ask
# a scripted model on loopback. Arguments filter the cases: scripts/test-agents.sh agents::limits
set -eu
cd "$(dirname "$0")/.."

# What docs/AGENTS.md and the recorded lines were measured with.
claude=2.1.197
codex=0.169.0

export SQLX_OFFLINE=true
target="$(mkdir -p "${CARGO_TARGET_DIR:-target}" && cd "${CARGO_TARGET_DIR:-target}" && pwd)"
agents="$target/agents"
command -v npm > /dev/null || { echo "make test-agents needs node and npm" >&2; exit 1; }

if [ "$(cat "$agents/versions" 2> /dev/null)" != "$claude $codex" ]; then
    mkdir -p "$agents"
    npm install --prefix "$agents" --no-audit --no-fund --no-save --loglevel error \
        "@anthropic-ai/claude-code@$claude" "@openai/codex@$codex"
    # Where npm runs no scripts of packages, the client's own is run by hand: it puts the program in its place.
    (cd "$agents/node_modules/@anthropic-ai/claude-code" && node install.cjs > /dev/null)
    echo "$claude $codex" > "$agents/versions"
fi
echo "Claude Code $claude, Codex $codex, as $(id -un)"

env -u DATABASE_URL cargo build --locked -p makima-cli -p makima-scripted-model
env -u DATABASE_URL cargo test --locked -p makima-cli --test it --no-run
export MAKIMA_TEST_AGENTS="$agents/node_modules/.bin"
cases="$agents/cases.txt"
# The list stands at the end too: between the names there may be pages of a failure.
status=0
{ env -u DATABASE_URL cargo test --locked -p makima-cli --test it -- --test-threads 2 "${@:-agents::}" || echo failed > "$agents/failed"; } 2>&1 |
    tee "$cases"
[ ! -e "$agents/failed" ] || { status=1; rm "$agents/failed"; }
echo
sed -n 's/^test \(agents::.*\) \.\.\. \(.*\)/\2  \1/p' "$cases" | sort
exit "$status"
