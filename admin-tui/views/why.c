/* One table by word, one by status. A word of the proxy that is not here fails a test. */
#include "views/why.h"

#include "base/check.h"

static const struct why table[] = {
    /* who asks */
    {"none", "it sent no client token",
     "the client must send its placeholder as its API key (screen 3)"},
    {"unknown", "its token is not known here: mistyped, revoked or of another proxy",
     "give the client a new token (screen 3, t), or correct what it sends"},
    {"several", "it sent several different client tokens",
     "the client must send one: look in its headers and its address"},
    {"disabled", "its client is switched off", "switch it on on screen 3, if it may come in again"},
    {"expired", "its client has expired", "give the client a later end on screen 3"},
    {"pass_expired", "its short-lived access token has expired",
     "nothing: clients ask for another one by themselves, or after a restart"},
    {"token_misplaced", "it put its token where it would be sent on to the provider",
     "send it as a credential only: not in a body, a path or another field"},
    {"client_limit", "the client is over its limit of requests or tokens",
     "raise its limit on screen 3, or wait"},
    {"proxy_auth", "the proxy wants credentials, and none that it knows came",
     "put the client's token into HTTPS_PROXY: http://x:TOKEN@host:port"},
    {"assertion_malformed", "its key file's signed request for a token cannot be read",
     "give the client its key file anew (screen 3)"},
    {"assertion_algorithm", "its request for a token is not signed with RS256",
     "use the key file as it was handed out"},
    {"assertion_key", "its key file is not, or no longer, the client's",
     "hand out a new key file (screen 3)"},
    {"assertion_signature", "the signature of its request for a token is wrong",
     "hand out a new key file (screen 3): this one was changed"},
    {"assertion_audience", "its request for a token is meant for another token endpoint",
     "use the token_uri of the key file that was handed out"},
    {"assertion_time", "its request for a token is of another time",
     "correct the client machine's clock"},
    {"assertion_id_token", "it asks for an identity token, which no proxy can give it",
     "ask for an access token: a scope, not a target audience"},
    {"assertion_subject", "it asks to act for somebody else",
     "leave the subject away: a virtual account acts for itself"},
    {"pass", "no access token could be made for the client", "look at the proxy's log and memory"},
    {"internal", "its token could not be looked up", "look at the proxy's log and memory"},

    /* where to, and may it */
    {"default", "no rule allows this host", "add a rule on screen 5, if it may be reached"},
    {"rule", "a rule forbids this host", "screen 5 tests a host and shows the rule"},
    {"port", "this port is not allowed", "policy.ports says which are; a swapped host has 443"},
    {"address", "the address is a private or forbidden one",
     "policy.allow_networks opens it, if that is meant"},
    {"address_denied", "the host's name leads to a private or forbidden address",
     "check the name's DNS; policy.allow_networks opens it, if that is meant"},
    {"swap_domains", "the rule would send credentials outside of the swap domains",
     "correct the rule on screen 5, or policy.swap_domains"},
    {"api", "the rule for this host names no API", "set the rule's provider on screen 5"},
    {"method", "this method is not served through the proxy",
     "nothing, unless the client is to be corrected"},
    {"path", "this path is not among those that the rule serves",
     "add the path to the rule on screen 5, if it is to be served"},
    {"host host_count", "its Host is missing, double or broken",
     "the client, or something before it, is to be corrected"},
    {"authority sni", "it asks for another host than the one its connection was opened to",
     "the client must open a connection for each host"},
    {"bad_authority", "CONNECT named no host and port",
     "the client is to be corrected: it needs host:port"},
    {"no_websocket", "a WebSocket is not served on this path", "use the API's own live path"},
    {"metadata", "it asked for metadata in a way that is not answered",
     "only token and project of the client itself are answered"},
    {"refused", "callers from this address are not let in", "policy.clients says who may connect"},

    /* which model, which account */
    {"model_denied", "the client may not use this model",
     "add the model to the client on screen 3, if it may"},
    {"no_model", "no account of the client's pool serves this model",
     "add the model to an account (screen 1), or give the client another pool"},
    {"no_kind", "no account of the client's pool can serve this host",
     "change its pool: Google tokens serve googleapis.com, API keys one host"},
    {"model", "the model's name cannot be read", "the client is to be corrected"},
    {"model_domain", "the model's domain is outside of the swap domains",
     "correct the account's model row, or policy.swap_domains"},
    {"none_available", "no account of the pool could be used: off, draining or cooling",
     "screen 1: enable one, end a cool-down with c, or add one"},
    {"none_left", "every account that was tried failed, and none was left",
     "the attempts say why; screen 1 shows which accounts cool"},
    {"pool", "the client's pool is gone", "give the client a pool on screen 3"},
    {"token_refused", "the provider refused a fresh token, and it could not be tried again",
     "v on screen 1 tries the account; check its roles at Google"},
    {"credential_refused", "the provider refuses the account's credential",
     "v on screen 1 tries the account; check its roles, or K for a new key"},
    {"mint_failed", "no token could be had for the account",
     "screen 2 says what the endpoint said"},
    {"api_key_sealed", "the account's API key does not open",
     "is this the store's own master key? else add the key anew on screen 1"},

    /* files, caches, operations that live at one account */
    {"pin_foreign", "it names a file, cache or operation of another client",
     "nothing, unless the client should have made it itself"},
    {"pin_gone", "the account that holds what it names is off or gone",
     "enable that account on screen 1, or let the client make it anew"},
    {"pins_differ", "it names things that live at different accounts",
     "the client must make them anew: then they come to one account"},
    {"pins_many", "it names more than 64 files, caches or operations", "send fewer at once"},
    {"pin_unreadable", "its body may name files or caches and cannot be read",
     "send it as JSON, plain or as gzip"},
    {"upload_unknown", "this upload was begun elsewhere or too long ago",
     "the client must begin it anew"},
    {"upload_address", "the provider's address for the upload cannot be used",
     "try again; if it stays, report it with the request's id"},

    /* the first message of a live session */
    {"setup_compression setup_json setup_frame setup_end",
     "the first message of its live session cannot be read",
     "correct the client: the first message names the model, as JSON"},
    {"setup_too_large", "the first message of its live session is too large",
     "send less in the setup message"},

    /* the client's side of the connection */
    {"client_gone", "the client went away before the answer was over",
     "nothing, unless it is often: then look at the client's own time limit"},
    {"client_protocol", "the client broke the protocol",
     "look at the client, or at what stands between it and the proxy"},
    {"body_timeout", "the request's body did not arrive in time",
     "look at the client's network; limits.idle_timeout says how long"},
    {"header_timeout", "the request's head did not arrive in time",
     "look at the client's network; limits.header_timeout says how long"},
    {"silence", "nothing moved for too long",
     "the client does not read, or the provider stalls: see read_timeout"},
    {"request_length", "the request's body and its announced length differ",
     "the client is to be corrected"},
    {"broken_off", "the connection ended in the middle of something", "look at the requests on it"},
    {"idle", "the connection was idle for too long", "nothing: the client connects again"},
    {"proxy_header proxy_header_timeout", "the balancer's PROXY header is missing or wrong",
     "listen.proxy_protocol names the balancers; they must send it"},
    {"no_leaf", "no certificate could be made for this host",
     "screen 7 shows what the CA may sign"},

    /* the provider's side of the connection */
    {"unresolved", "the provider's name does not resolve", "check this machine's DNS"},
    {"connect_timeout connect", "the provider could not be reached in time",
     "check this machine's way to the internet, and upstream.parent_proxy"},
    {"connect_refused", "the provider's host refuses connections",
     "check firewalls, and upstream.parent_proxy"},
    {"tls_timeout", "the TLS handshake did not come to an end in time",
     "something between here and the provider is slow or filters"},
    {"dial", "no connection could be opened", "look at the proxy's log, memory and descriptors"},
    {"answer_timeout", "the provider did not begin to answer in time",
     "ask for a stream, or raise upstream.read_timeout"},
    {"connection_lost connection_closed peer_closed closed reset hangup truncated write",
     "the connection was lost", "if it happens often, look at the network between"},
    {"refused_stream", "the provider did not take the request on this connection",
     "nothing: it is tried again where that is safe"},
    {"answer_head answer_length answer_malformed answer_trailers",
     "the provider's answer was broken", "if it stays, report it with the request's id"},
    {"access_denied bad_certificate certificate_expired certificate_required certificate_revoked "
     "certificate_unknown unknown_ca unsupported_certificate",
     "a certificate was not trusted",
     "a client needs our CA (screen 7); else something may be in between"},
    {"decode_error decrypt_error handshake_failure illegal_parameter insufficient_security "
     "no_application_protocol no_shared_cipher no_shared_group peer_internal_error "
     "protocol_version tls_failure tls unexpected_message unrecognized_name user_cancelled",
     "the TLS handshake failed", "old software, or something in between that filters TLS"},
    {"not_tls plain_http", "no TLS came where TLS was due",
     "something in between answers, or http was sent to an https port"},
    {"bare_cr bare_lf chunk connection_field content_length content_length_twice field field_name "
     "frame h2 interim length_and_coding line nul obs_fold protocol pseudo_field request_line "
     "start_line status status_line stray_bytes stream_id syntax target te trailers "
     "transfer_encoding transfer_encoding_twice connect_body unasked_101 websocket_accept "
     "websocket_body",
     "what came is no valid HTTP", "whoever sent it, or something in between, is to be corrected"},
    {"flood", "one side sent far too many frames that do nothing", "look at who connects"},
    {"head_too_large target_too_long too_many_fields too_many_interim",
     "the head of the message is too large", "shorten cookies and addresses"},

    /* tokens of accounts */
    {"invalid_grant", "Google refuses the account's key: deleted, rotated or not its own",
     "K on screen 1 replaces the key file"},
    {"account_not_found", "Google knows no such service account",
     "it was deleted there: make it anew, or remove it here"},
    {"clock_skew", "this machine's clock is wrong", "synchronise it: the account is fine"},
    {"not_propagated", "the service account is too new for Google's endpoint", "wait some minutes"},
    {"invalid_scope", "Google does not know a scope of the account", "correct its scope"},
    {"invalid_request", "the token endpoint does not understand the request",
     "is something in between? else report it"},
    {"invalid_client unauthorized_client disabled_client",
     "the service account may not get tokens, or is disabled",
     "enable it in Google's console, or x on screen 1"},
    {"admin_policy_enforced", "a policy of the organisation forbids tokens for this account",
     "ask who administers the organisation at Google"},
    {"endpoint_unavailable endpoint_rate_limited", "the token endpoint is overloaded or down",
     "it is tried again by itself"},
    {"endpoint_timeout endpoint_unreachable endpoint_unresolved endpoint_broken "
     "parent_proxy_unresolved",
     "the token endpoint cannot be reached",
     "check the way to oauth2.googleapis.com, and upstream.parent_proxy"},
    {"endpoint_certificate endpoint_tls", "the token endpoint's certificate does not verify",
     "is something in between? check this machine's CA bundle"},
    {"endpoint_garbage", "the token endpoint's answer makes no sense", "is something in between?"},
    {"backoff", "the last mints failed, and the next try is not yet due",
     "screen 2 says why and when; m there tries now"},
    {"key_unreadable no_key", "the account's key is missing or does not open",
     "K on screen 1 replaces it; is this the store's own master key?"},
    {"no_account", "the account was removed meanwhile", "nothing"},
    {"token_uri_denied", "the account's token_uri is not allowed",
     "oauth.token_uri_allow says which are"},
    {"store", "the store could not be read", "credswap doctor says why"},

    /* the proxy itself */
    {"ended_by_operator", "an operator ended it", "screen 6 says who"},
    {"shutdown drain", "the proxy was stopped or restarted", "nothing: clients connect again"},
    {"memory no_memory", "the proxy was short of memory",
     "give it more, or lower retry.replay_total_bytes and the limits"},
    {"replay_total_bytes", "too many request bodies were held at once",
     "raise retry.replay_total_bytes, or send fewer large requests at once"},
    {"no_descriptors", "the proxy has no file descriptors left",
     "raise LimitNOFILE of its unit: credswap doctor says how far"},
    {"head", "the request's head cannot be sent on", "the client is to be corrected"},
    {"done", "it ended as it should", "nothing"},
};

static const struct {
    int64_t status;
    struct why why;
} statuses[] = {
    {0, {"", "no answer was sent", "the client, or the proxy, ended it before"}},
    {400, {"", "the provider calls the request itself wrong", "the answer's body says what"}},
    {401, {"", "the provider refuses the credential", "v on screen 1 tries the account"}},
    {403,
     {"", "the provider refuses the account this call: role, API or region",
      "give the service account its role, or switch the API on in its project"}},
    {404,
     {"", "the provider knows no such model or resource",
      "check the model's name, and whether it is served at this location"}},
    {408, {"", "the provider waited too long for the request", "look at the client's network"}},
    {413, {"", "the request is too large for the provider", "send less at once"}},
    {429,
     {"", "the account is over its quota at the provider",
      "more accounts or other weights (screen 1), or a larger quota"}},
    {499, {"", "the request was given up", "nothing, unless it happens often"}},
    {500, {"", "the provider failed inside", "try again; look at the provider's status page"}},
    {502, {"", "the provider's front end got no answer inside", "try again later"}},
    {503, {"", "the provider is overloaded or down", "try again; another model or location helps"}},
    {504, {"", "the provider did not answer in time", "ask for less, or for a stream"}},
    {529, {"", "the provider is overloaded", "it is tried elsewhere; else wait"}},
};

static bool holds_word(const char *words, struct slice word)
{
    struct slice rest = slice_of(words), one;
    while (slice_next(&rest, ' ', &one))
        if (slice_eq(one, word))
            return true;
    return false;
}

const struct why *why_word(struct slice word)
{
    for (size_t i = 0; word.n && i < ARRAY_LEN(table); i++)
        if (holds_word(table[i].words, word))
            return &table[i];
    return NULL;
}

const struct why *why_status(int64_t status)
{
    static const struct why refuses = {"", "the provider refuses the request",
                                       "the answer's body says why"};
    static const struct why fails = {"", "the provider failed", "try again later"};
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
        if (statuses[i].status == status)
            return &statuses[i].why;
    if (status < 400)
        return NULL;
    return status < 500 ? &refuses : &fails;
}

const struct why *why_request(int64_t status, struct slice reason)
{
    static const struct why strange = {"",
                                       "the proxy gave a reason that this console does not know",
                                       "is the proxy newer? its documentation has the word"};
    if (reason.n == 0)
        return why_status(status);
    const struct why *w = why_word(reason);
    return w ? w : &strange;
}
