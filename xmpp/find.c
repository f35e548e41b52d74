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

static bool any(wide bytes)
{
#ifdef __SSE2__
    return __builtin_ia32_pmovmskb128((char __attribute__((vector_size(WIDE))))bytes) != 0;
#else
    uint64_t half[2];

    memcpy(half, &bytes, sizeof half);
    return (half[0] | half[1]) != 0;
#endif
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

/* Where one of a, b and c stands, or what is not printable ASCII. */
static wide stops_in(const char *s, char a, char b, char c)
{
    const wide none = {0}, bytes = load(s);

    return (bytes < 0x20) | (bytes == none + (int8_t)a) | (bytes == none + (int8_t)b) |
           (bytes == none + (int8_t)c);
}

/* Less than a vector. */
static __attribute__((noinline)) size_t find_short(const char *s, size_t len, char a, char b,
                                                   char c)
{
    size_t i = 0;

    while (i < len && (int8_t)s[i] >= 0x20 && s[i] != a && s[i] != b && s[i] != c)
        i++;
    return i;
}

/* How many bytes from s on are printable ASCII other than a, b and c. Inline in any build, so that
 * bytes known in advance are vectors known in advance. */
static inline __attribute__((always_inline)) size_t find(const char *s, size_t len, char a, char b,
                                                         char c)
{
    size_t i = WIDE, at;

    if (len < WIDE)
        return find_short(s, len, a, b, c);
    at = first_set(stops_in(s, a, b, c));
    if (at < WIDE)
        return at;
    for (; len - i >= 2 * WIDE; i += 2 * WIDE) {
        wide here = stops_in(s + i, a, b, c), next = stops_in(s + i + WIDE, a, b, c);

        if (any(here | next)) {
            at = first_set(here);
            return at < WIDE ? i + at : i + WIDE + first_set(next);
        }
    }
    if (len - i >= WIDE) {
        at = first_set(stops_in(s + i, a, b, c));
        if (at < WIDE)
            return i + at;
    }
    /* The last of them, some a second time. */
    return len - WIDE + first_set(stops_in(s + len - WIDE, a, b, c));
}

size_t find_markup(const char *s, size_t len)
{
    return find(s, len, '<', '>', '&');
}

size_t find_quote(const char *s, size_t len, char quote)
{
    return find(s, len, '<', '&', quote);
}

size_t find_stop(const char *s, size_t len, const char stops[3])
{
    return find(s, len, stops[0], stops[1], stops[2]);
}

/* The places from s on, of those that a vector holds, where both text's first and its last byte
 * fit: they are few. */
static wide candidates(const char *s, const char *text, size_t text_len)
{
    const int8_t first = (int8_t)text[0], last = (int8_t)text[text_len - 1];

    return (load(s) == first) & (load(s + text_len - 1) == last);
}

/* Whether text stands at one of them. */
static __attribute__((noinline)) bool stands_at(const char *s, wide places, const char *text,
                                                size_t text_len)
{
    for (size_t at = first_set(places); at < WIDE; at = first_set(places)) {
        if (memcmp(s + at, text, text_len) == 0)
            return true;
        places[at] = 0;
    }
    return false;
}

bool find_bytes(const char *s, size_t len, const char *text, size_t text_len)
{
    const size_t need = text_len - 1 + WIDE;
    size_t i = 0, last;

    if (len < need)
        return memmem(s, len, text, text_len) != NULL;
    last = len - need;
    for (; i + WIDE <= last; i += 2 * WIDE) {
        wide here = candidates(s + i, text, text_len);
        wide next = candidates(s + i + WIDE, text, text_len);

        if (any(here | next) && (stands_at(s + i, here, text, text_len) ||
                                 stands_at(s + i + WIDE, next, text, text_len)))
            return true;
    }
    if (i < last && stands_at(s + i, candidates(s + i, text, text_len), text, text_len))
        return true;
    return stands_at(s + last, candidates(s + last, text, text_len), text, text_len);
}
