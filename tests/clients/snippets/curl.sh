# shellcheck shell=sh
curl --fail-with-body -sS -N "https://generativelanguage.googleapis.com/v1beta/models/$MODEL:$VERB" \
  -H "x-goog-api-key: $GEMINI_API_KEY" -H 'content-type: application/json' -d "$BODY"
