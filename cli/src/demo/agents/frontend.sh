# Works on the pages, beside the one who works on the server.

step() {
    case $1 in
        10) edit web/index.html 's/<title>.*</<title>Shop, rebuilt</' && echo "changed web/index.html" ;;
        30) printf 'body { margin: 0 }\n' >web/reset.css && echo "added web/reset.css" ;;
        50) rm -f web/old.js && echo "deleted web/old.js" ;;
    esac
}

write_lines web/pages.txt "$(lines_for frontend)"
