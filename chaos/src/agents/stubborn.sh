# Hears no signal that can be refused.
trap '' TERM INT HUP
note start 0
for _ in 1 2 3 4 5 6 7; do
    say
    sleep 0.2
done
bye
