#!/bin/sh
# A stand-in for Claude Code that writes the client's lines and keeps its conversation where the client does. What it does is in
# the plan, which is a shell script.
set -eu
session='' resumed=''
while [ $# -gt 0 ]; do
    case $1 in
        --session-id) session=$2 ;;
        --resume) session=$2 resumed=yes ;;
    esac
    shift
done
directory="$CLAUDE_CONFIG_DIR/projects/$(pwd | sed 's/[^A-Za-z0-9]/-/g')"
conversation="$directory/$session.jsonl"
if [ -n "$resumed" ] && [ ! -e "$conversation" ]; then
    echo "No conversation found with session ID: $session" >&2
    exit 1
fi
mkdir -p "$directory"

line() { printf '%s\n' "$1"; }
# say ID WORDS: one message of 10 tokens in and 5 out.
say() {
    line '{"type":"assistant","message":{"id":"'"$1"'","role":"assistant","content":[{"type":"text","text":"'"$2"'"}],"usage":{"input_tokens":10,"output_tokens":5}}}' |
        tee -a "$conversation"
}
# call NAME COMMAND ANSWER: a tool and what came of it.
call() {
    line '{"type":"assistant","message":{"id":"call","content":[{"type":"tool_use","id":"t1","name":"'"$1"'","input":{"command":"'"$2"'"}}]}}'
    line '{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"t1","content":"'"$3"'"}]}}'
}
result() { line '{"type":"result","subtype":"success","is_error":false,"result":"done","total_cost_usd":'"$1"'}'; }
# fail STATUS WORDS: what an error of the API comes as.
fail() {
    line '{"type":"result","subtype":"success","is_error":true,"api_error_status":'"$1"',"result":"'"$2"'","total_cost_usd":0}'
    exit 1
}
line '{"type":"system","subtype":"init","session_id":"'"$session"'"}'
# hear: takes up the next message of standard input, which stays open until the result. It is in the conversation as it came.
hear() {
    IFS= read -r heard || return 1
    printf '%s\n' "$heard" >> "$conversation"
    case $heard in *'"uuid":"'*) line "${heard%?},\"isReplay\":true}" ;; esac
}
# The first message is the plan, or one that came after the round before.
hear
eval "$MAKIMA_PLAN"
