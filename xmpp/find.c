/*
 * See find.h. Vectors are GCC's and clang's own, not a processor's: sixteen bytes are compared at
 * once wherever there are registers for it. What a newcomer gets wrong: a byte of UTF-8 is negative
 * as int8_t, so that one comparison finds it and the control characters alike.
 */
#include "xmpp/find.h"

#include <stdint.h>
#include <string.h>

#define WIDE 16

typedef int8_t wide __attribute__((vector_size(WIDE)));

static wide load(const char *s)
{
    wide value;

    memcpy(&value, s, sizeof value);
    return value;
}

/* The place of the first byte that is not 0 in what a comparison gave, WIDE when there is none. */
static size_t first_set(wide bytes)
{
#ifdef __SSE2__
    unsigned bits =
        (unsigned)__builtin_ia32_pmovmskb128((char __attribute__((vector_size(WIDE))))bytes);

    return bits ? (size_t)__builtin_ctz(bits) : WIDE;
#else
    uint64_t half[2];

    memcpy(half, &bytes, sizeof half);
    if ((half[0] | half[1]) == 0)
        return WIDE;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return half[0] ? (size_t)__builtin_ctzll(half[0]) / 8
                   : 8 + (size_t)__builtin_ctzll(half[1]) / 8;
#else
    return half[0] ? (size_t)__builtin_clzll(half[0]) / 8
                   : 8 + (size_t)__builtin_clzll(half[1]) / 8;
#endif
#endif
}

/* What stops find_stop, each in all places. */
struct stops {
    wide a, b, c;
};

static wide stops_in(wide bytes, struct stops stops)
{
    return (bytes < 0x20) | (bytes == stops.a) | (bytes == stops.b) | (bytes == stops.c);
}

/* Less than a vector. */
static __attribute__((noinline)) size_t find_stop_short(const char *s, size_t len,
                                                        const char stops[3])
{
    size_t i = 0;

    for (; i < len; i++) {
        int8_t byte = (int8_t)s[i];

        if (byte < 0x20 || s[i] == stops[0] || s[i] == stops[1] || s[i] == stops[2])
            break;
    }
    return i;
}

size_t find_stop(const char *s, size_t len, const char stops[3])
{
    const wide none = {0};
    const struct stops all = {none + (int8_t)stops[0], none + (int8_t)stops[1],
                              none + (int8_t)stops[2]};
    size_t i = 0, at;

    if (len < WIDE)
        return find_stop_short(s, len, stops);
    at = first_set(stops_in(load(s), all));
    if (at < WIDE)
        return at;
    for (i = WIDE; len - i >= 2 * WIDE; i += 2 * WIDE) {
        wide here = stops_in(load(s + i), all), next = stops_in(load(s + i + WIDE), all);

        if (first_set(here | next) < WIDE) {
            at = first_set(here);
            return at < WIDE ? i + at : i + WIDE + first_set(next);
        }
    }
    for (; len - i >= WIDE; i += WIDE) {
        at = first_set(stops_in(load(s + i), all));
        if (at < WIDE)
            return i + at;
    }
    /* The last of them, some a second time. */
    return len - WIDE + first_set(stops_in(load(s + len - WIDE), all));
}

/* Whether text stands at one of the places from s on that a vector holds. */
static bool stands_near(const char *s, const char *text, size_t text_len)
{
    const int8_t first = (int8_t)text[0], last = (int8_t)text[text_len - 1];
    /* Places where both the first and the last byte fit are few. */
    wide fits = (load(s) == first) & (load(s + text_len - 1) == last);

    for (size_t at = first_set(fits); at < WIDE; at = first_set(fits)) {
        if (memcmp(s + at, text, text_len) == 0)
            return true;
        fits[at] = 0;
    }
    return false;
}

bool find_text(const char *s, size_t len, const char *text)
{
    const size_t text_len = strlen(text), need = text_len - 1 + WIDE;

    if (len < need)
        return memmem(s, len, text, text_len) != NULL;
    for (size_t i = 0; i < len - need; i += WIDE) {
        if (stands_near(s + i, text, text_len))
            return true;
    }
    return stands_near(s + len - need, text, text_len);
}
