# shellcheck shell=sh
echo "ca_certificate = $SSL_CERT_FILE" >>~/.wgetrc # once
wget -q -O - --content-on-error --header "x-goog-api-key: $GEMINI_API_KEY" --header 'content-type: application/json' \
  --post-data "$BODY" "https://generativelanguage.googleapis.com/v1beta/models/$MODEL:$VERB"
