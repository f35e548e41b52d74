/*
 * Chains in a growing array of buckets. When the array cannot grow for want of memory the chains
 * just become longer: nothing fails.
 */
#include "policy/table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BUCKETS 16
#define PRIME ((UINT64_C(1) << 61) - 1)

/* (a * b) mod 2^61-1. */
static uint64_t multiply(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    uint64_t sum = (uint64_t)(product & PRIME) + (uint64_t)(product >> 61);

    return sum >= PRIME ? sum - PRIME : sum;
}

/* The key as a polynomial evaluated at a secret point: who does not know the point cannot choose
 * keys that meet. */
static uint64_t hash_of(uint64_t seed, const void *key, size_t key_len)
{
    const unsigned char *bytes = key;
    uint64_t hash = 1;

    for (size_t i = 0; i < key_len; i++) {
        hash = multiply(hash, seed) + bytes[i];
    }
    return multiply(hash % PRIME, seed);
}

static struct table_node **bucket_of(struct table *table, uint64_t hash)
{
    return table->buckets == NULL ? &table->only : &table->buckets[hash & (table->buckets_len - 1)];
}

void table_init(struct table *table, uint64_t seed)
{
    *table = (struct table){.seed = seed % PRIME};
}

void table_done(struct table *table)
{
    free(table->buckets);
    *table = (struct table){.seed = table->seed};
}

static void move_all(struct table *table, struct table_node *node)
{
    while (node != NULL) {
        struct table_node *next = node->next;
        struct table_node **bucket = bucket_of(table, node->hash);

        node->next = *bucket;
        *bucket = node;
        node = next;
    }
}

static void grow(struct table *table)
{
    struct table former = *table;
    size_t buckets_len = former.buckets == NULL ? FIRST_BUCKETS : former.buckets_len * 2;
    struct table_node **buckets = calloc(buckets_len, sizeof(struct table_node *));

    if (buckets == NULL) {
        return;
    }
    table->only = NULL;
    table->buckets = buckets;
    table->buckets_len = buckets_len;
    move_all(table, former.only);
    for (size_t i = 0; i < former.buckets_len; i++) {
        move_all(table, former.buckets[i]);
    }
    free(former.buckets);
}

void table_add(struct table *table, struct table_node *node, const void *key, size_t key_len)
{
    struct table_node **bucket;

    assert(table_find(table, key, key_len) == NULL);
    if (table->len >= (table->buckets == NULL ? FIRST_BUCKETS / 2 : table->buckets_len)) {
        grow(table);
    }
    *node = (struct table_node){.hash = hash_of(table->seed, key, key_len)};
    node->key = key;
    node->key_len = key_len;
    bucket = bucket_of(table, node->hash);
    node->next = *bucket;
    *bucket = node;
    table->len++;
}

void table_remove(struct table *table, struct table_node *node)
{
    struct table_node **at = bucket_of(table, node->hash);

    while (*at != node) {
        assert(*at != NULL);
        at = &(*at)->next;
    }
    *at = node->next;
    table->len--;
    *node = (struct table_node){0};
}

struct table_node *table_find(const struct table *table, const void *key, size_t key_len)
{
    uint64_t hash = hash_of(table->seed, key, key_len);
    struct table_node *node = table->only;

    if (table->buckets != NULL) {
        node = table->buckets[hash & (table->buckets_len - 1)];
    }
    while (node != NULL && (node->hash != hash || node->key_len != key_len ||
                            memcmp(node->key, key, key_len) != 0)) {
        node = node->next;
    }
    return node;
}
