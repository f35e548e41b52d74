/*
 * The parser's memory (see parse_arena.h). What a newcomer gets wrong: `used` counts to the exact
 * end of the newest piece, and is rounded up only when the next one begins, so that text may grow.
 */
#include "xmpp/parse_arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>

#define ARENA_KEPT (32 * 1024) /* a stanza of Jitsi's, but for the largest session descriptions */

struct arena_block {
    struct arena_block *next;
    size_t cap, used;
    alignas(max_align_t) char data[];
};

static struct arena_block *block_new(size_t cap)
{
    if (cap > SIZE_MAX / 2)
        return NULL;
    struct arena_block *block = malloc(sizeof(*block) + cap);
    if (!block)
        return NULL;
    block->next = NULL;
    block->cap = cap;
    block->used = 0;
    return block;
}

bool arena_init(struct arena *a)
{
    a->first = a->last = block_new(ARENA_KEPT);
    return a->first != NULL;
}

static void free_from(struct arena_block *block)
{
    while (block) {
        struct arena_block *next = block->next;
        free(block);
        block = next;
    }
}

void arena_done(struct arena *a)
{
    free_from(a->first);
    a->first = a->last = NULL;
}

void arena_reset(struct arena *a)
{
    free_from(a->first->next);
    a->first->next = NULL;
    a->first->used = 0;
    a->last = a->first;
}

void *arena_alloc(struct arena *a, size_t len)
{
    size_t align = alignof(max_align_t);
    struct arena_block *block = a->last;
    size_t start = (block->used + align - 1) / align * align;
    if (start > block->cap || len > block->cap - start) {
        size_t cap = 2 * block->cap;
        block->next = block_new(len > cap ? len : cap);
        if (!block->next)
            return NULL;
        a->last = block = block->next;
        start = 0;
    }
    block->used = start + len;
    return block->data + start;
}

bool arena_extend(struct arena *a, const char *end, size_t len)
{
    struct arena_block *block = a->last;
    if (end != block->data + block->used || len > block->cap - block->used)
        return false;
    block->used += len;
    return true;
}
