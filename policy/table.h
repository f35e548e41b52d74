/*
 * A hash table whose nodes live inside the things it holds, so that adding one cannot fail. Keys come
 * from the network, hence the secret seed.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Embed as the first member: a found node is then the thing itself. */
struct table_node {
    struct table_node *next;
    uint64_t hash;
    const void *key; /* borrowed from the thing */
    size_t key_len;
};

struct table {
    uint64_t seed;
    size_t len;
    struct table_node **buckets; /* NULL while the one below is enough */
    size_t buckets_len;
    struct table_node *only;
};

void table_init(struct table *table, uint64_t seed);
/* Releases the table, not what is in it. */
void table_done(struct table *table);

/* The key must not be in the table yet, and stay unchanged while it is. */
void table_add(struct table *table, struct table_node *node, const void *key, size_t key_len);
void table_remove(struct table *table, struct table_node *node);
/* NULL when there is none. */
struct table_node *table_find(const struct table *table, const void *key, size_t key_len);
