# shellcheck shell=sh
export GEMINI_CLI_TRUST_WORKSPACE=true # headless in a new folder
gemini -p "$PROMPT" "$@"
