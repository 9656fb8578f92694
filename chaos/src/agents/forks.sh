# Forks, and its children fork.
note start 0
for _ in 1 2 3 4 5 6; do
    (sleep 300 & sleep 300 & sleep 300) &
    say
done
sleep 0.3
bye
