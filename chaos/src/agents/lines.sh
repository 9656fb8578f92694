# Writes numbered lines, each on the disk before the next, and goes on behind those that it finds.
touch lines.txt
n=$(wc -l <lines.txt)
n=$((n))
note start "$n"
say
while [ "$n" -lt "$CHAOS_LINES" ]; do
    n=$((n + 1))
    echo "$n" >>lines.txt
    sync -d lines.txt
    note write "$n"
    say
    sleep 0.2
done
bye
