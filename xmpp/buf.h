/*
 * A growable byte buffer for text being built. A failed allocation is remembered, so that a
 * builder may add piece after piece and look once at the end.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data; /* NUL-terminated whenever it is not NULL */
    size_t len, cap;
    bool failed; /* an allocation failed: the content is not to be used */
};

#define BUF_INIT {0}

void buf_done(struct buf *b);                   /* accepts a zeroed buffer; leaves it zeroed */
void buf_clear(struct buf *b);                  /* empties it, keeps the memory */
bool buf_grow(struct buf *b, size_t more);      /* for buf_reserve */
/* Room for more bytes at data + len, and a NUL behind them. */
static inline bool buf_reserve(struct buf *b, size_t more)
{
    return (!b->failed && more < b->cap - b->len) || buf_grow(b, more);
}
void buf_add(struct buf *b, const void *data, size_t len);
void buf_add_str(struct buf *b, const char *text);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Adds text with the five XML escapes, fit for an attribute in either quote or for character data. */
void buf_add_xml(struct buf *b, const char *text);
/* Removes the first n bytes (n <= len). */
void buf_drop(struct buf *b, size_t n);
/* Gives the memory away (free() it); NULL when an allocation failed or nothing was added. */
char *buf_take(struct buf *b);
