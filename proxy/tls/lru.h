/* A bounded map from text to a pointer; the entry that was not asked for longest goes first. Not
 * thread-safe. */
#ifndef TLS_LRU_H
#define TLS_LRU_H
#include "base/err.h"
#include "base/slice.h"

struct lru;
typedef void (*lru_free_cb)(void *value);

/** At most MAX entries; FREE_VALUE gets each value that leaves the map. */
enum err lru_create(size_t max, lru_free_cb free_value, struct lru **ret) NODISCARD;
void lru_destroy(struct lru *l);
/** The value, now the youngest, or NULL. Borrowed. */
void *lru_get(struct lru *l, struct slice key);
/** Owns VALUE from here on, also on failure (it is freed then). Replaces what was there. */
enum err lru_put(struct lru *l, struct slice key, void *value) NODISCARD;
typedef bool (*lru_each_cb)(void *arg, struct slice key, void *value);
/** All of them, the one asked for last first, until CB says false. Asking this way makes none
 * younger. */
void lru_each(const struct lru *l, lru_each_cb cb, void *arg);
void lru_remove(struct lru *l, struct slice key);
size_t lru_count(const struct lru *l);

#endif
