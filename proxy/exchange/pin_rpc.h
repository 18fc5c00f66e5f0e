/* Names of files, caches and operations in a protobuf message whose type nobody tells us: every
 * field with a length may be a text, JSON or a message, so it is taken for each of them. What is in
 * the message is found, however deep; what only looks like one is found beside it. Pure. */
#ifndef EXCHANGE_PIN_RPC_H
#define EXCHANGE_PIN_RPC_H
#include "exchange/pin_scan.h"

#define PIN_RPC_DEPTH_MAX 128 /* the providers' own bound is 100 */

/** FOUND is told each name. HOST: as in pin_scan_init. False: something in it may be a name that is
 * longer than we keep, or deeper than we look. */
bool pin_rpc_read(struct slice message, struct slice host, pin_name_cb found, void *arg);

#endif
