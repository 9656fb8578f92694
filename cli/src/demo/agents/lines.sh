# What the agents that write share: one numbered line after the other, each on the disk before the next.
#
# They are resumable because they look at what is there: they go on behind the last line that they find.

set -eu

flush() {
    sync -d "$1" 2>/dev/null || sync
}

# write_lines FILE COUNT: before line N, `step N` (the agent's own) does what else is due.
write_lines() {
    mkdir -p "$(dirname "$1")"
    touch "$1"
    n=$(wc -l <"$1")
    n=$((n))
    [ "$n" -eq 0 ] || echo "found $n lines, goes on with line $((n + 1))"
    while [ "$n" -lt "$2" ]; do
        n=$((n + 1))
        step "$n"
        printf '%04d written by attempt %s\n' "$n" "$MAKIMA_EPOCH" >>"$1"
        flush "$1"
        printf '[%d/%d] wrote line %d of %s\n' "$n" "$2" "$n" "$1"
        sleep 0.1
    done
}

# lines_for NAME: how many lines the plan gives to an agent.
lines_for() {
    sed -n "s/^$1: \([0-9]*\) lines\$/\1/p" docs/PLAN.md
}

# edit FILE EXPRESSION: the in-place editing that every sed understands.
edit() {
    sed "$2" "$1" >"$TMPDIR/edited"
    cat "$TMPDIR/edited" >"$1"
}

echo "working in $MAKIMA_WORKSPACE"
