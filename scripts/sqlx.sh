#!/bin/sh
# Writes .sqlx anew from a private database with all migrations: what `cargo sqlx prepare` does, without that program.
# The macros write one query-*.json each into SQLX_OFFLINE_DIR when they are compiled with a live database.
set -eu
cd "$(dirname "$0")/.."

target="${CARGO_TARGET_DIR:-target}"

if [ "${1:-}" != prepare ]; then
    # Builds with the queries as they were; where they no longer fit, an older makima serves as well.
    SQLX_OFFLINE=true env -u DATABASE_URL cargo build --locked -p makima-cli || [ -x "$target/debug/makima" ]
    exec env -u DATABASE_URL "$target/debug/makima" services -- "$0" prepare
fi

psql=$(command -v psql || ls /usr/lib/postgresql/*/bin/psql /usr/pgsql-*/bin/psql /opt/homebrew/opt/postgresql*/bin/psql \
    /usr/local/opt/postgresql*/bin/psql 2>/dev/null | tail -n 1)
for migration in migrations/*.sql; do
    "$psql" --quiet --no-psqlrc --set ON_ERROR_STOP=1 --dbname "$DATABASE_URL" --file "$migration" >/dev/null
done

new="$PWD/.sqlx.new"
rm -rf "$new"
mkdir "$new"
trap 'rm -rf "$new"' EXIT
touch shared/src/lib.rs # Makes the compiler expand the macros again.
SQLX_OFFLINE=false SQLX_OFFLINE_DIR="$new" cargo check --locked -p makima-shared --all-targets
rm -rf .sqlx
mv "$new" .sqlx
echo "sqlx: $(find .sqlx -name 'query-*.json' | wc -l | tr -d ' ') queries in .sqlx"
