# Ends at once.
note start 0
say
bye
