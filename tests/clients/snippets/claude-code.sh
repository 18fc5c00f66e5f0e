# shellcheck shell=sh
claude -p "$PROMPT" "$@"
