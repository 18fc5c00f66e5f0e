/* The first message of a gRPC call, while it arrives: which model it names, and where the client's
 * project stands in it. A frame is one byte of flags, four of length and a protobuf message
 * (https://protobuf.dev/programming-guides/encoding); resource names are strings of its outermost
 * level. Pure. */
#ifndef ROUTE_RPC_H
#define ROUTE_RPC_H
#include "base/sbuf.h"
#include "route/model.h"

#define RPC_NAME_MAX 512u
#define RPC_NAMES_MAX 4u
#define RPC_HEAD 5u

enum rpc_state {
    RPC_MORE,  /* feed what comes next */
    RPC_WHOLE, /* the message is here; names and model hold what it said */
    RPC_OTHER  /* compressed, malformed, or with more names than we keep: nothing is known */
};

/* "projects/P/...": offsets in the body. */
struct rpc_name {
    size_t length_at; /* its length, up to `at` */
    size_t at, n;
    size_t project_n; /* of P */
};

struct rpc_scan {
    enum rpc_state state;
    unsigned char step;     /* what the next byte is */
    unsigned char shift;    /* of the number that is read */
    unsigned char field;    /* its number, if that is below 16; else 0 */
    uint64_t number;        /* read so far */
    uint32_t size;          /* of the message */
    size_t at, end;         /* bytes fed; where the message ends */
    size_t length_at, left; /* of the field */
    size_t text_n;
    char text[RPC_NAME_MAX]; /* a short field's bytes */
    struct rpc_name names[RPC_NAMES_MAX];
    size_t count;
    bool differs;   /* it names several models */
    size_t model_n; /* 0: it names none, or several */
    char model[MODEL_MAX];
};

void rpc_scan_init(struct rpc_scan *r);
/** Eats N bytes; returns the state. What is behind the message is not looked at. */
enum rpc_state rpc_scan_feed(struct rpc_scan *r, const void *bytes, size_t n);
/** The whole frame's length; after RPC_WHOLE. */
size_t rpc_scan_size(const struct rpc_scan *r);
/** Adds to OUT the frame at FROM, rpc_scan_size() bytes, with PROJECT in the place of every project
 * that it names. */
void rpc_scan_rewrite(const struct rpc_scan *r, const char *from, struct slice project,
                      struct sbuf *out);

#endif
