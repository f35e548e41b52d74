/*
 * The parser's memory: taken piece by piece while a message is read, given back all at once before
 * the next one. One block stays; what a large message needed beyond it is freed again.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *first, *last; /* allocation goes on in last */
};

bool arena_init(struct arena *a) __attribute__((warn_unused_result));
void arena_done(struct arena *a); /* accepts a zeroed arena */
void arena_reset(struct arena *a);
/* Aligned for every type, not cleared; NULL when out of memory. */
void *arena_alloc(struct arena *a, size_t len);
/* Makes the newest piece longer by len bytes, where end is the end of what was asked for; false when
 * it is not the newest one or there is no room. */
bool arena_extend(struct arena *a, const char *end, size_t len);
