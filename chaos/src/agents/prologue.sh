# What every agent begins with. It notes what it does where no checkpoint reaches: one line each, in the order of time,
# with the seconds since the machine started. All attempts of a task share the file, so it shows which of them wrote when.

witness="$CHAOS_WITNESS/$MAKIMA_TASK_ID"
said=0
n=0

note() {
    read -r now _ </proc/uptime
    echo "$1 $MAKIMA_EPOCH $2 $now" >>"$witness"
}

# Output is numbered, so that a gap shows.
say() {
    said=$((said + 1))
    echo "out $MAKIMA_EPOCH $said"
}

bye() {
    note end "$n"
    echo "out $MAKIMA_EPOCH end $said"
}
