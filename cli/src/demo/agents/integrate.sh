# Joins both branches with a merge commit of its own and looks at what came out. Where it was interrupted it starts over.

set -eu

git reset -q --hard
git clean -fdq
# No maintenance goes on behind the agent's back.
git -c gc.auto=0 -c maintenance.auto=false fetch -q origin "$FRONTEND_BRANCH"
echo "[1/4] fetched $FRONTEND_BRANCH"
sleep 1
git -c user.name=integrate -c user.email=integrate@example.invalid merge -q --no-ff --no-edit FETCH_HEAD
echo "[2/4] merged it into $BACKEND_BRANCH"
sleep 1
for file in src/server/routes.txt web/pages.txt; do
    awk '{ if ($1 + 0 != NR) exit 1 }' "$file"
    echo "$file: $(($(wc -l <"$file"))) lines, none missing" >>docs/RELEASE.md
done
echo "[3/4] every line is there"
sleep 1
cat docs/RELEASE.md
echo "[4/4] wrote docs/RELEASE.md"
