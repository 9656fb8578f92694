# Leaves processes behind in sessions of their own.
note start 0
setsid sh -c 'trap "" TERM; while :; do sleep 1; done' >/dev/null 2>&1 &
(setsid sleep 300 >/dev/null 2>&1 &)
say
sleep 0.5
bye
