# Never ends by itself: its time limit ends it.
note start 0
say
sleep 60
