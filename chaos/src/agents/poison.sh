# Kills the worker that runs it: the parent of its own parent, which is the shim.
note start 0
read -r _ _ _ worker _ </proc/"$PPID"/stat
kill -9 "$worker"
sleep 60
