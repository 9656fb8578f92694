# A long series of numbered edits to a real repository. Which edit comes next is in the tree itself: `kills/steps` has a line
# for each that was made, and a resumed agent goes on from there.
#
# Whatever was killed midway may be made again: an edit sets what a file holds and does not build on what it held, no two
# touch the same file, and a commit names its files. An attempt therefore makes the last REDONE edits again, too: a
# checkpoint reads the tree while the agent goes on, so what it has of them may be of moments a little apart.
REDONE=20
GROUP=10
BASE="$CHAOS_BASE"
export GIT_AUTHOR_NAME=agent GIT_AUTHOR_EMAIL=agent@chaos GIT_COMMITTER_NAME=agent GIT_COMMITTER_EMAIL=agent@chaos

# Regular files of the base, far apart from each other: one for each edit, if there are as many.
real="$TMPDIR/real-files"
git ls-tree -r "$BASE" |
    awk -F '\t' '$1 ~ /^100/ && $2 !~ /(^|\/)\.git/ && $2 !~ /^"/ && $2 !~ /^kills\// {print $2}' >"$TMPDIR/all-files"
stride=$(($(wc -l <"$TMPDIR/all-files") / CHAOS_STEPS))
if [ "$stride" -gt 0 ]; then
    awk "NR % $stride == 0" "$TMPDIR/all-files" >"$real"
else
    cp "$TMPDIR/all-files" "$real"
fi

# Writes standard input to a file, which is there whole or not at all.
put() {
    mkdir -p "$(dirname "$1")"
    cat >"$TMPDIR/put"
    mv -f "$TMPDIR/put" "$1"
}

original() {
    git cat-file blob "$BASE:$1"
}

# Prints the commit of a step, if there is one.
commit_of() {
    git log --format='%H %s' "$BASE..HEAD" | sed -n "s/ kills step $1\$//p"
}

# Stages the files of this group, and what became of the group's real files, whatever else there is.
stage() {
    find "$dir" \( -type f -o -type l \) ! -name '*.ignored' -print0 | git update-index --add -z --stdin
    sed -n "$((n - GROUP + 1)),${n}p" "$real" | tr '\n' '\0' | git update-index --add --remove -z --stdin
}

commit() {
    if [ -z "$(commit_of "$n")" ]; then
        stage
        GIT_AUTHOR_DATE="$((1700000000 + n)) +0000" GIT_COMMITTER_DATE="$((1700000000 + n)) +0000" \
            git commit --quiet --no-verify --allow-empty --message="kills step $n"
    fi
    # Beside it a branch of the agent's with a commit that HEAD does not have.
    if ! git show-ref --quiet "refs/heads/kills/side-$n"; then
        blob=$(echo "side $n" | git hash-object -w --stdin)
        tree=$(printf '100644 blob %s\tside\n' "$blob" | git mktree)
        side=$(GIT_AUTHOR_DATE="$((1700000000 + n)) +0000" GIT_COMMITTER_DATE="$((1700000000 + n)) +0000" \
            git commit-tree -p "$(commit_of "$n")" -m "kills side $n" "$tree")
        git update-ref "refs/heads/kills/side-$n" "$side"
    fi
}

edit() {
    dir="kills/$(((n - 1) / GROUP))"
    file=$(sed -n "${n}p" "$real")
    # A repository of few files: the edits after its last one are to files of the agent's own.
    own="$dir/own-$n"
    case $((n % GROUP)) in
    1) if [ -n "$file" ]; then { original "$file" && echo "changed by step $n"; } | put "$file"; fi ;;
    2) seq "$n" $((n + 400)) | put "$dir/new/file-$n.txt" ;;
    3) if [ -n "$file" ]; then rm -f -- "$file"; fi ;;
    4)
        if [ -n "$file" ]; then
            original "$file" | put "$dir/renamed-$n"
            rm -f -- "$file"
        fi
        ;;
    5)
        if [ -z "$file" ]; then
            echo "$n" | put "$own"
            chmod 755 "$own"
        elif git ls-tree "$BASE" -- "$file" | grep -q ^100755; then
            chmod 644 -- "$file"
        else
            chmod 755 -- "$file"
        fi
        ;;
    6)
        mkdir -p "$dir"
        ln -sfn "../steps" "$dir/link-$n"
        ln -sfn "/nowhere/$n" "$dir/dangling-$n"
        if [ -n "$file" ]; then ln -sfn "link of step $n" "$file"; fi
        ;;
    7) seq $((n * 100)) | gzip -n | put "$dir/$(printf 'binary-\377-%s' "$n")" ;;
    8)
        if [ -z "$file" ]; then file=$own && mkdir -p "$dir"; fi
        grep -qsx "appended by step $n" "$file" || printf '\nappended by step %s\n' "$n" >>"$file"
        ;;
    9)
        # A file becomes a directory; what is ignored is nobody's work.
        if [ -n "$file" ] && [ ! -d "$file" ]; then rm -f -- "$file"; fi
        echo "$n" | put "${file:-$own}/inside"
        echo "$n" | put "$dir/$n.ignored"
        ;;
    0) commit ;;
    esac
}

if [ ! -f kills/.gitignore ]; then echo '*.ignored' | put kills/.gitignore; fi
shown=0
if [ -f kills/steps ]; then shown=$(($(wc -l <kills/steps))); fi
note start "$shown"
n=$((shown > REDONE ? shown - REDONE : 0))
while [ "$n" -lt "$CHAOS_STEPS" ]; do
    n=$((n + 1))
    edit
    if [ "$n" -gt "$shown" ]; then
        seq "$n" | put kills/steps
        note write "$n"
        sleep "$CHAOS_PAUSE"
    fi
done
bye
