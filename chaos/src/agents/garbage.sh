# Prints what is no text.
note start 0
for _ in 1 2 3 4 5; do
    say
    printf '\377\376\200 not UTF-8 \300\n a zero \000 byte\n' >&2
    printf 'torn \360\237\r\n'
done
bye
