#!/bin/sh
# Makes sure that this machine has what makima needs, and installs what it lacks (apt-get, dnf or brew).
#
#   scripts/setup.sh          what running makima takes: cargo, a C compiler, git, PostgreSQL, Redis or Valkey,
#                             and bubblewrap on Linux
#   scripts/setup.sh build    what compiling it takes: cargo and a C compiler
#   scripts/setup.sh engines  what make test-engines takes: all of the first, PgBouncer and openssl
#
# NO_INSTALL=1 never installs. DATABASE_URL or REDIS_URL set: that server stands elsewhere and is not looked for.
# Silent when nothing is missing. Servers that run on this machine already are left alone, and none is started.
set -eu

POSTGRES_MIN=14
REDIS_MIN_MAJOR=6
REDIS_MIN_MINOR=2

say() { echo "setup: $*"; }
fail() { echo "setup: $*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

PATH="$PATH:${HOME:-}/.cargo/bin:/usr/local/bin:/usr/sbin:/sbin"

# --- What is here -----------------------------------------------------------------------------------------------------

# True if the directory $1 holds a PostgreSQL server that is new enough.
postgres_in() {
    [ -x "$1/postgres" ] && [ -x "$1/initdb" ] || return 1
    major=$("$1/postgres" --version 2>/dev/null | sed -n 's/^.*(PostgreSQL) \([0-9][0-9]*\).*$/\1/p')
    [ "${major:-0}" -ge "$POSTGRES_MIN" ]
}

# The same places as cli/src/services/programs.rs looks in.
have_postgres() {
    found=$(command -v postgres 2>/dev/null) && postgres_in "$(dirname "$found")" && return 0
    for bin in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql*/bin \
        /usr/local/opt/postgresql*/bin /home/linuxbrew/.linuxbrew/opt/postgresql*/bin; do
        if postgres_in "$bin"; then return 0; fi
    done
    return 1
}

have_redis() {
    for server in redis-server valkey-server /opt/homebrew/opt/redis/bin/redis-server \
        /opt/homebrew/opt/valkey/bin/valkey-server /usr/local/opt/redis/bin/redis-server; do
        version=$("$server" --version 2>/dev/null | sed -n 's/^.* v=\([0-9]*\.[0-9]*\).*$/\1/p') || continue
        [ -n "$version" ] || continue
        major=${version%%.*} minor=${version#*.}
        [ "$major" -gt "$REDIS_MIN_MAJOR" ] && return 0
        [ "$major" -eq "$REDIS_MIN_MAJOR" ] && [ "$minor" -ge "$REDIS_MIN_MINOR" ] && return 0
    done
    return 1
}

# The things of $1 (all, build, engines) that are not here, one word each.
missing() {
    have cc || have gcc || have clang || echo compiler
    [ "$1" = build ] && return 0
    have git || echo git
    [ -n "${DATABASE_URL:-}" ] || have_postgres || echo postgres
    [ -n "${REDIS_URL:-}" ] || have_redis || echo redis
    [ "$(uname -s)" != Linux ] || have bwrap || echo bubblewrap
    [ "$1" = engines ] || return 0
    have pgbouncer || echo pgbouncer
    have openssl || echo openssl
}

# What a person calls the thing.
title() {
    case $1 in
        compiler) echo "a C compiler" ;;
        git) echo "git" ;;
        postgres) echo "PostgreSQL $POSTGRES_MIN or newer (or DATABASE_URL)" ;;
        redis) echo "Redis $REDIS_MIN_MAJOR.$REDIS_MIN_MINOR or newer, or Valkey (or REDIS_URL)" ;;
        bubblewrap) echo "bubblewrap" ;;
        pgbouncer) echo "PgBouncer" ;;
        openssl) echo "openssl" ;;
    esac
}

# --- How it comes here ------------------------------------------------------------------------------------------------

installer() {
    if have apt-get; then echo apt-get; elif have dnf; then echo dnf; elif have brew; then echo brew; fi
}

# The packages that hold the thing $2, as the installer $1 calls them.
packages() {
    case $1:$2 in
        apt-get:compiler) echo gcc libc6-dev ;;
        apt-get:postgres) echo postgresql ;;
        apt-get:redis) echo redis-server ;;
        dnf:compiler) echo gcc glibc-devel ;;
        dnf:postgres) echo postgresql-server ;;
        # Newer releases have Valkey in Redis's place.
        dnf:redis) if dnf -q info redis >/dev/null 2>&1; then echo redis; else echo valkey; fi ;;
        brew:compiler) echo gcc ;;
        brew:postgres) echo postgresql@17 ;;
        brew:redis) echo redis ;;
        *:git | *:bubblewrap | *:pgbouncer | *:openssl) echo "$2" ;;
    esac
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# True if as_root works: as root, by sudo without a password, or with somebody at the terminal to type one.
can_be_root() {
    [ "$(id -u)" = 0 ] && return 0
    have sudo || return 1
    sudo -n true 2>/dev/null || { [ -t 0 ] && [ -t 2 ]; }
}

can_install() {
    [ -z "${NO_INSTALL:-}" ] || return 1
    case $1 in
        brew) [ "$(id -u)" != 0 ] ;; # Homebrew refuses root.
        "") return 1 ;;
        *) can_be_root ;;
    esac
}

apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" >/dev/null
}

# Refreshes the package lists only when they do not know the package or what they name is gone.
apt_install() {
    say "installing $* with apt-get"
    if apt-cache show "$@" >/dev/null 2>&1 && apt_get install -y --no-install-recommends "$@" 2>/dev/null; then
        return 0
    fi
    say "refreshing apt's package lists"
    apt_get update
    apt_get install -y --no-install-recommends "$@"
}

# Debian's postgresql package makes a cluster on the usual port and starts it. A setting that stands only while the
# package is installed keeps it from that.
apt_install_postgres() {
    setting=/etc/postgresql-common/createcluster.d/makima-setup.conf
    apt_install postgresql-common
    trap 'as_root rm -f "$setting"' EXIT
    say "keeping the postgresql package from making a cluster and starting it"
    as_root mkdir -p "$(dirname "$setting")"
    echo "create_main_cluster = false" | as_root tee "$setting" >/dev/null
    apt_install postgresql
    as_root rm -f "$setting"
    trap - EXIT
}

# Debian's packages of redis-server and pgbouncer each start a service of that name on the usual port; masked, it cannot.
# Without systemd as the running init (a container) they start nothing.
apt_install_service() {
    service=$1
    if [ ! -d /run/systemd/system ]; then apt_install "$service"; return; fi
    trap 'as_root systemctl --quiet unmask "$service.service"' EXIT
    say "keeping the $service package from starting its service (systemctl enable --now $service does)"
    as_root systemctl --quiet mask "$service.service"
    apt_install "$service"
    as_root systemctl --quiet unmask "$service.service"
    as_root systemctl --quiet disable "$service.service" 2>/dev/null || true
    trap - EXIT
}

dnf_install() {
    say "installing $* with dnf"
    as_root dnf -q -y install "$@"
}

# Enterprise Linux 8 and 9 keep newer servers in module streams; elsewhere there are none, and none are needed.
dnf_install_postgres() {
    for stream in 16 15; do
        if dnf -q module list "postgresql:$stream" >/dev/null 2>&1; then
            say "choosing the module stream postgresql:$stream"
            as_root dnf -q -y module enable "postgresql:$stream" && break
        fi
    done
    dnf_install postgresql-server
}

# Installs the thing $2 with the installer $1.
install() {
    case $1:$2 in
        apt-get:postgres) apt_install_postgres ;;
        apt-get:redis) apt_install_service redis-server ;;
        apt-get:pgbouncer) apt_install_service pgbouncer ;;
        dnf:postgres) dnf_install_postgres ;;
        # shellcheck disable=SC2046 # One word per package.
        apt-get:*) apt_install $(packages apt-get "$2") ;;
        # shellcheck disable=SC2046
        dnf:*) dnf_install $(packages dnf "$2") ;;
        brew:compiler) fail "needs a C compiler; install it with: xcode-select --install" ;;
        # shellcheck disable=SC2046
        brew:*) say "installing $(packages brew "$2") with brew"; brew install --quiet $(packages brew "$2") ;;
    esac
}

# The one line for somebody who has to install by hand.
explain() {
    titles="" names=""
    for thing in $2; do
        titles="$titles${titles:+, }$(title "$thing")"
        [ -n "$1" ] && names="$names $(packages "$1" "$thing")"
    done
    case $1 in
        "") fail "missing: $titles; install it and try again" ;;
        brew) fail "missing: $titles; install with: brew install$names" ;;
        *) fail "missing: $titles; install as root with: $1 install -y$names" ;;
    esac
}

# --- Do it ------------------------------------------------------------------------------------------------------------

scope=${1:-all}
case $scope in all | build | engines) ;; *) fail "unknown scope '$scope': all, build or engines" ;; esac

have cargo || fail "missing: Rust 1.95 or newer; get it from https://rustup.rs: curl -sSf https://sh.rustup.rs | sh"

lacking=$(missing "$scope")
[ -n "$lacking" ] || exit 0

with=$(installer)
if [ "$lacking" = bubblewrap ] && ! can_install "$with"; then
    say "without bubblewrap agents run under Landlock, where the kernel has it, else not at all but by --sandbox none"
    exit 0
fi
can_install "$with" || explain "$with" "$lacking"
for thing in $lacking; do install "$with" "$thing"; done

lacking=$(missing "$scope")
[ -z "$lacking" ] || fail "still missing after the installation: $(for t in $lacking; do title "$t"; done | paste -s -d, -)"
say "everything that makima needs is here"
