# Works on the server. Each step may be done again without harm: a resumed agent may repeat the last one.

step() {
    case $1 in
        5) edit config/server.toml 's/^workers = .*/workers = 8/' && echo "changed config/server.toml" ;;
        10) binary >assets/icons.bin && echo "added assets/icons.bin, a binary" ;;
        15) ln -sfn server.toml config/current.toml && echo "added config/current.toml, a symbolic link" ;;
        20)
            printf '#!/bin/sh\necho migrated\n' >scripts/migrate.sh
            chmod 755 scripts/migrate.sh
            echo "added scripts/migrate.sh, an executable"
            ;;
        25) rm -f src/server/legacy.rs && echo "deleted src/server/legacy.rs" ;;
    esac
}

# Bytes that no text has, and line ends that a careless tool would change.
binary() {
    i=0
    while [ "$i" -lt 64 ]; do
        printf '\000\377\001\376\r\n%d' "$i"
        i=$((i + 1))
    done
}

write_lines src/server/routes.txt "$(lines_for backend)"
