# Fails, however often it is tried.
note start 0
say
exit 3
