/* The list of everything that the console does. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H
#include "cli/args.h"

extern const struct command_table console_commands;

#define COMMAND_LIST(X)                                                                            \
    X(dashboard)                                                                                   \
    X(account_add)                                                                                 \
    X(account_list)                                                                                \
    X(account_show)                                                                                \
    X(account_set)                                                                                 \
    X(account_drain)                                                                               \
    X(account_key)                                                                                 \
    X(account_clear)                                                                               \
    X(account_refresh)                                                                             \
    X(account_test)                                                                                \
    X(account_forget)                                                                              \
    X(account_rm)                                                                                  \
    X(pool_list)                                                                                   \
    X(pool_set)                                                                                    \
    X(pool_rm)                                                                                     \
    X(client_add)                                                                                  \
    X(client_list)                                                                                 \
    X(client_show)                                                                                 \
    X(client_set)                                                                                  \
    X(client_rotate)                                                                               \
    X(client_revoke)                                                                               \
    X(client_rm)                                                                                   \
    X(client_service_account)                                                                      \
    X(host_list)                                                                                   \
    X(host_set)                                                                                    \
    X(host_rm)                                                                                     \
    X(host_test)                                                                                   \
    X(model_list)                                                                                  \
    X(model_set)                                                                                   \
    X(model_rm)                                                                                    \
    X(pin_list)                                                                                    \
    X(pin_rm)                                                                                      \
    X(node_list)                                                                                   \
    X(live_list)                                                                                   \
    X(live_end)                                                                                    \
    X(import)                                                                                      \
    X(ca_init)                                                                                     \
    X(ca_show)                                                                                     \
    X(ca_export)                                                                                   \
    X(ca_rotate)                                                                                   \
    X(ca_install)                                                                                  \
    X(ca_uninstall)                                                                                \
    X(ca_leaves)                                                                                   \
    X(ca_refused)                                                                                  \
    X(env)                                                                                         \
    X(config_show)                                                                                 \
    X(config_sample)                                                                               \
    X(status)                                                                                      \
    X(tokens)                                                                                      \
    X(usage)                                                                                       \
    X(requests)                                                                                    \
    X(events)                                                                                      \
    X(explain)                                                                                     \
    X(doctor)                                                                                      \
    X(wait)                                                                                        \
    X(backup)                                                                                      \
    X(restore)                                                                                     \
    X(undo)                                                                                        \
    X(completion)

#define X(name) extern const struct command command_##name;
COMMAND_LIST(X)
#undef X

#endif
