# Prints one line that is far longer than a line is kept in one piece.
note start 0
say
head -c 150000 /dev/zero | tr '\0' x
echo
bye
