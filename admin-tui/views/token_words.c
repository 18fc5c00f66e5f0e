/* The words are those that the proxy's token room writes: a test holds both lists together. */
#include "views/token_words.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define CLOCK_FINE_S 5
#define CLOCK_OFF_S 30 /* assertions are refused beyond minutes; this is early enough to act */

/* The first that LAST_ERROR begins with counts. */
static const struct {
    const char *begins;
    struct token_words words;
} known[] = {
    /* what Google says */
    {"invalid_grant: the key",
     {"its key was deleted or replaced in IAM, or this host's clock is wrong",
      "K gives it a new key file, or x on screen 1 takes it out meanwhile"}},
    {"invalid_grant",
     {"Google takes no assertion of it: key and account do not fit any more",
      "look at the account and its keys in IAM; K gives it a new key file"}},
    {"account_not_found",
     {"the service account was deleted, or its e-mail is wrong",
      "undelete it in IAM (within 30 days), or remove it here: D on screen 1"}},
    {"disabled_client",
     {"the service account is disabled in IAM",
      "enable it there (gcloud iam service-accounts enable), then m"}},
    {"invalid_client",
     {"the service account may not get tokens",
      "look at the account in IAM; x on screen 1 takes it out meanwhile"}},
    {"unauthorized_client",
     {"the service account may not get tokens with its scopes",
      "compare its scopes (Enter) with what IAM grants, then m"}},
    {"admin_policy_enforced",
     {"a policy of the organisation forbids tokens for it",
      "ask whoever runs the Google organisation; x on screen 1 meanwhile"}},
    {"clock_skew",
     {"this host's clock is wrong; the account is fine",
      "set the clock (timedatectl, chronyc makestep), then m"}},
    {"not_propagated",
     {"the account is new, and Google does not know it everywhere yet",
      "wait some minutes: it is tried again by itself"}},
    {"invalid_scope",
     {"a scope of the account is mistyped",
      ":account set NAME scope=... corrects it; empty is the default"}},
    {"invalid_request",
     {"something between here and Google changes requests, or this is a bug",
      "look at upstream.parent_proxy; if there is none, report it"}},
    {"endpoint_rate_limited",
     {"the token endpoint answers 429: too many mints from here",
      "wait: it is tried again by itself; do many proxies start at once?"}},
    {"endpoint_unavailable",
     {"a failure on Google's side (5xx), not of this account",
      "wait: it is tried again by itself; status.cloud.google.com knows more"}},
    /* the way there */
    {"endpoint_timeout",
     {"no answer in time: a firewall drops it, or the parent proxy is slow",
      "curl -v https://oauth2.googleapis.com on this host; upstream.parent_proxy"}},
    {"endpoint_unresolved",
     {"the token endpoint's name does not resolve on this host",
      "getent hosts oauth2.googleapis.com; look at the host's DNS"}},
    {"parent_proxy_unresolved",
     {"the name in upstream.parent_proxy does not resolve",
      "correct it in the configuration, or the host's DNS"}},
    {"endpoint_unreachable",
     {"connection refused: a firewall, or the parent proxy is down",
      "curl -v https://oauth2.googleapis.com on this host; upstream.parent_proxy"}},
    {"endpoint_certificate",
     {"somebody in between opens TLS with a certificate that is not trusted",
      "go round that proxy, or name its CA in upstream.ca_file"}},
    {"endpoint_tls",
     {"the TLS handshake fails: what answers there is not Google",
      "curl -v https://oauth2.googleapis.com on this host; upstream.parent_proxy"}},
    {"endpoint_broken",
     {"the connection broke before the answer was whole",
      "wait: it is tried again by itself; look at upstream.parent_proxy"}},
    {"endpoint_garbage",
     {"what answers is not Google's endpoint: a login page, a parent proxy",
      "curl -v https://oauth2.googleapis.com/token on this host"}},
    /* our own side */
    {"no_key", {"the account has no key in the store", "K gives it a key file"}},
    {"key_unreadable",
     {"its key does not open: this is not the master key it was sealed with",
      "bring the store's own master key back, or K gives it its key file anew"}},
    {"no_account", {"the account was removed, or renamed, meanwhile", "r reads the store anew"}},
    {"token_uri_denied",
     {"its token_uri is not in oauth.token_uri_allow",
      "take the key file that Google gave (K), or allow the URI if it is yours"}},
    {"no_memory", {"this host is out of memory", "look at free -m and at the daemon's limits"}},
    {"store", {"the store could not be read", ":doctor says what is wrong with it"}},
};

static const struct token_words unknown = {"nothing that this console knows",
                                           "v tries it again now; :doctor looks at the rest"};

const struct token_words *token_words(const char *last_error)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strncmp(last_error, known[i].begins, strlen(known[i].begins)) == 0)
            return &known[i].words;
    return &unknown;
}

bool token_clock_is_off(int64_t skew_s)
{
    return skew_s > CLOCK_OFF_S || skew_s < -CLOCK_OFF_S;
}

char *token_clock_words(int64_t skew_s, char buf[96])
{
    const char *word = token_clock_is_off(skew_s) ? "WRONG: set this host's clock"
                       : skew_s > CLOCK_FINE_S || skew_s < -CLOCK_FINE_S ? "a little off"
                                                                         : "fine";
    snprintf(buf, 96, "%+lld s (%s)", (long long)skew_s, word);
    return buf;
}
