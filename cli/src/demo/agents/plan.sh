# Splits the work: reads the plan on its standard input and writes what the others read.

set -eu

plan=$(cat)
echo "[1/3] read the plan"
sleep 1
files=$(git ls-files | wc -l)
echo "[2/3] looked at $((files)) files"
sleep 1
{
    echo "# Plan"
    echo
    echo "The repository has $((files)) files. What is to be done:"
    echo
    echo "$plan"
} >docs/PLAN.md
echo "[3/3] wrote docs/PLAN.md"
sleep 1
