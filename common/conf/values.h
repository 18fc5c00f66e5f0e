/* What a configured string must look like; each check says why not in a static phrase. */
#ifndef CONF_VALUES_H
#define CONF_VALUES_H
#include "base/slice.h"

bool check_listen(struct slice v, const char **ret_why);
bool check_listen_or_empty(struct slice v, const char **ret_why);
bool check_advertise(struct slice v, const char **ret_why);
bool check_not_empty(struct slice v, const char **ret_why);
bool check_store_url(struct slice v, const char **ret_why);
bool check_ca_file(struct slice v, const char **ret_why);
bool check_connect_to(struct slice v, const char **ret_why);
bool check_dns(struct slice v, const char **ret_why);
bool check_parent_proxy(struct slice v, const char **ret_why);
bool check_token_uri(struct slice v, const char **ret_why);
bool check_clients(struct slice v, const char **ret_why);
bool check_tunnel(struct slice v, const char **ret_why);
bool check_swap_domain(struct slice v, const char **ret_why);
bool check_deny_network(struct slice v, const char **ret_why);
bool check_allow_network(struct slice v, const char **ret_why);
bool check_proxy_auth(struct slice v, const char **ret_why);
bool check_level(struct slice v, const char **ret_why);
bool check_format(struct slice v, const char **ret_why);

/** Splits "http://[user:pass@]host:port"; userinfo is empty when there is none. */
bool parent_proxy_split(struct slice v, struct slice *ret_userinfo, struct slice *ret_host_port);

#endif
