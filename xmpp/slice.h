/*
 * A part of a text, borrowed: not ended by a NUL.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct slice {
    const char *at;
    size_t len;
};

static inline bool slice_is(struct slice s, const char *text)
{
    const size_t len = strlen(text);

    return s.len == len && memcmp(s.at, text, len) == 0;
}

static inline bool slice_same(struct slice a, struct slice b)
{
    return a.len == b.len && memcmp(a.at, b.at, a.len) == 0;
}
