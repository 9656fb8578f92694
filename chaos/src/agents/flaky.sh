# Fails at first.
note start 0
say
[ "$MAKIMA_EPOCH" -ge 2 ] || exit 1
bye
