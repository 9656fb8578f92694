#!/bin/sh
# Passes the tests of dispatch over the engines that people run, all on loopback and in one temporary directory:
#
#   * the store through PgBouncer in transaction mode, over TLS, and the queue in a Redis Cluster of three nodes;
#   * whole stacks over both of them;
#   * the queue over TLS, as a user of Redis who may do no more than docs/ENGINES.md says;
#   * a frozen Redis, nodes that die, slots that move, a pooler that nobody told of (shared/tests/engines);
#   * where both Redis and Valkey are installed, all that concerns the queue with the second one too.
set -eu
cd "$(dirname "$0")/.."

export SQLX_OFFLINE=true
target="${CARGO_TARGET_DIR:-target}"

if [ "${1:-}" != inside ]; then
    # Nothing is compiled while DATABASE_URL is set, nor while servers wait for it.
    env -u DATABASE_URL cargo build --locked -p makima-cli
    env -u DATABASE_URL cargo test --locked --no-run -p makima-shared -p makima-scheduler -p makima-api -p makima-cli \
        --test it --test engines
    exec env -u DATABASE_URL -u REDIS_URL "$target/debug/makima" services -- "$0" inside
fi

say() { echo "test-engines: $*"; }
fail() { say "$*" >&2; exit 1; }

dir=$(mktemp -d "${TMPDIR:-/tmp}/makima-engines-XXXXXX")
pids=""
trap 'kill $pids 2>/dev/null; wait; rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM HUP
# PgBouncer may have to run as the user of PostgreSQL.
chmod 755 "$dir"
scripts/test-certificates.sh "$dir"
chmod 644 "$dir"/*.key
PATH="$PATH:/usr/sbin:/sbin"

# Asks again until a command succeeds, for ten seconds.
until_it_works() {
    tries=100
    while ! "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || fail "no success within ten seconds: $*"
        sleep 0.1
    done
}

# --- Redis or Valkey --------------------------------------------------------------------------------------------------

# A range of ports that the system gives to no client, and whose ports plus 10,000 it does not either.
port=$((12000 + $$ % 9000))
redis=""

redis_cli() { case $redis in *valkey*) valkey-cli -p "$port" "$@" ;; *) redis-cli -p "$port" "$@" ;; esac; }

# Starts a server under the name $1 with the arguments behind it, and sets $port to where it listens. A port that somebody
# has ends the server, and another one is tried.
start_redis() {
    name=$1
    shift
    mkdir -p "$dir/$name"
    for try in 1 2 3 4 5 6 7 8 9; do
        port=$((port + try))
        "$redis" --bind 127.0.0.1 --port "$port" --save '' --dir "$dir/$name" "$@" >"$dir/$name/log" 2>&1 &
        pid=$!
        while kill -0 "$pid" 2>/dev/null; do
            if redis_cli info server 2>/dev/null | tr -d '\r' | grep -q "^process_id:$pid\$"; then
                pids="$pids $pid"
                return
            fi
            sleep 0.1
        done
    done
    fail "$redis did not start: $(tail -n 3 "$dir/$name/log")"
}

knows_all_slots() { redis_cli cluster info | grep -q cluster_state:ok; }

# Starts a cluster of three nodes, and sets $cluster to their addresses with commas between.
start_cluster() {
    nodes=""
    for node in 1 2 3; do
        start_redis "$redis-cluster-$node" --cluster-enabled yes
        nodes="$nodes 127.0.0.1:$port"
    done
    # shellcheck disable=SC2086 # One word per node.
    redis_cli --cluster create $nodes --cluster-replicas 0 --cluster-yes >"$dir/create.log" || fail "$(cat "$dir/create.log")"
    for node in $nodes; do
        port=${node#*:}
        until_it_works knows_all_slots
    done
    cluster=$(echo "$nodes" | sed 's/^ //; s/ /,/g')
}

# Starts a server with TLS and the user of docs/ENGINES.md, who has the tests' keys in place of makima's.
start_restricted() {
    port=$((port + 1))
    tls_port=$port
    start_redis "$redis-tls" --tls-port "$tls_port" --tls-auth-clients no --tls-cert-file "$dir/here.pem" \
        --tls-key-file "$dir/here.key" --tls-ca-cert-file "$dir/authority.pem"
    rule=$(sed -n 's/^ *ACL SETUSER makima //p' docs/ENGINES.md | head -n 1 | sed 's/makima:\*/test-*/g')
    [ -n "$rule" ] || fail "docs/ENGINES.md names no rule for the user"
    # shellcheck disable=SC2046,SC2086 # One word per part of the rule, none of which is a pattern of file names.
    (set -f; redis_cli ACL SETUSER makima $rule) | grep -q OK || fail "Redis does not take the rule: $rule"
    restricted="rediss://makima:password@127.0.0.1:$tls_port?ssl_ca_certs=$dir/authority.pem"
}

# --- PgBouncer --------------------------------------------------------------------------------------------------------

# Starts PgBouncer before the private PostgreSQL of `makima services`, and sets $pooler to its URL without a database. It
# gives each transaction another of few server connections.
start_pooler() {
    password=$(echo "$DATABASE_URL" | sed 's|^postgres://makima:\([^@]*\)@.*|\1|')
    socket=$(echo "$DATABASE_URL" | sed 's|.*[?&]host=\([^&]*\).*|\1|; s|%2F|/|g')
    port=$((port + 1))
    cat >"$dir/pgbouncer.ini" <<INI
[databases]
* = host=$socket port=5432 user=makima password=$password
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
server_round_robin = 1
server_idle_timeout = 1
max_client_conn = 500
client_tls_sslmode = require
client_tls_cert_file = $dir/here.pem
client_tls_key_file = $dir/here.key
INI
    # It refuses to run as root, and has to reach the socket of PostgreSQL.
    owner=$(ls -ld "$socket" | awk '{ print $3 }')
    [ "$(id -u)" != 0 ] || set -- -u "$owner"
    pgbouncer "$@" "$dir/pgbouncer.ini" >"$dir/pgbouncer.log" 2>&1 &
    pids="$pids $!"
    pooler="postgres://makima@127.0.0.1:$port"
    parameters="pgbouncer=true&sslmode=verify-full&sslrootcert=$dir/authority.pem"
    until_it_works "$target/debug/makima" migrate --database-url "$pooler/makima?$parameters"
}

# --- The tests --------------------------------------------------------------------------------------------------------

# Tests that make a database wait for the pooler to let go of it, and cost no time of the processor meanwhile.
tests() { package=$1; shift; cargo test --locked --quiet -p "$package" --test it -- --test-threads 8 "$@"; }

# The modules of shared's tests that use a queue.
queue_modules=$(cd shared/tests/it && grep -l OwnQueue ./*.rs | sed 's|^./||; s|\.rs$|::|; /redis_fixture/d')

say "PgBouncer in transaction mode ($(pgbouncer --version | head -n 1)), over TLS"
start_pooler
export MAKIMA_TEST_POOLER="$pooler/?$parameters"

for redis in redis-server valkey-server; do
    command -v "$redis" >/dev/null || continue
    version=$("$redis" --version | sed 's/ sha=.*//')
    export MAKIMA_TEST_REDIS_SERVER="$redis"

    say "a cluster of three nodes: $version"
    start_cluster
    export REDIS_URL="redis://$cluster"
    if [ -z "${done_once:-}" ]; then
        tests makima-shared
        tests makima-scheduler
        tests makima-api
        say "whole stacks"
        MAKIMA_TEST_STACK_DATABASE_URL="$pooler/makima?$parameters" MAKIMA_TEST_STACK_REDIS_URL="$REDIS_URL" \
            cargo test --locked --quiet -p makima-cli --test it -- --test-threads 1 main_job:: killed_worker::
    else
        # shellcheck disable=SC2086 # One word per module.
        tests makima-shared $queue_modules
    fi

    say "a user who may do no more than makima needs, over TLS: $version"
    start_restricted
    # shellcheck disable=SC2086
    REDIS_URL=$restricted tests makima-shared $queue_modules

    say "frozen, killed and moved: $version"
    cargo test --locked --quiet -p makima-shared --test engines -- --test-threads 4
    done_once=yes
done
say "all passed"
