# Says more than is kept.
note start 0
say
seq 1000000 1060000
bye
