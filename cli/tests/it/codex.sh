#!/bin/sh
# A stand-in for Codex that writes the client's lines and keeps its conversation where the client does. What it does is in the
# plan, which is a shell script.
set -eu
session=01890a5d-ac96-774b-bcce-b302099a8057 resumed=''
for word in "$@"; do
    [ "$word" = resume ] && resumed=yes
done
directory="$CODEX_HOME/sessions/2026/01/01"
conversation="$directory/rollout-2026-01-01T00-00-00-$session.jsonl"
if [ -n "$resumed" ] && [ ! -e "$conversation" ]; then
    echo "no rollout found for thread id $session" >&2
    exit 1
fi
mkdir -p "$directory"
# A text as JSON has it.
json() { sed 's/[\\"]/\\&/g' | sed ':a;N;$!ba;s/\n/\\n/g'; }
# keep ROLE KIND WORDS: a message of the conversation.
keep() {
    printf '{"type":"response_item","payload":{"type":"message","role":"%s","content":[{"type":"%s","text":"%s"}]}}\n' \
        "$1" "$2" "$(printf '%s\n' "$3" | json)" >> "$conversation"
}
# say WORDS
say() {
    keep assistant output_text "$1"
    printf '{"type":"item.completed","item":{"id":"i","type":"agent_message","text":"%s"}}\n' "$1"
}
prompt=$(cat)
keep user input_text "$prompt"
printf '{"type":"thread.started","thread_id":"%s"}\n{"type":"turn.started"}\n' "$session"
eval "$MAKIMA_PLAN"
# It counts on over the conversation: 10 tokens for each turn.
used=$((10 * (1 + $(grep -c '"type":"token_count"' "$conversation" || true))))
usage='"input_tokens":'$used',"cached_input_tokens":0,"output_tokens":0'
printf '{"type":"event_msg","payload":{"type":"token_count","info":{"total_token_usage":{%s}}}}\n' "$usage" >> "$conversation"
printf '{"type":"turn.completed","usage":{%s}}\n' "$usage"
