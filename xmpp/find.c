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

/* The place of the first byte that is not 0, WIDE when there is none. */
static size_t first_set(wide bytes)
{
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
}

size_t find_stop(const char *s, size_t len, const char stops[3])
{
    const int8_t a = (int8_t)stops[0], b = (int8_t)stops[1], c = (int8_t)stops[2];
    size_t i = 0;

    for (; len - i >= WIDE; i += WIDE) {
        wide bytes = load(s + i);
        size_t at = first_set((bytes < 0x20) | (bytes == a) | (bytes == b) | (bytes == c));

        if (at < WIDE)
            return i + at;
    }
    for (; i < len; i++) {
        int8_t byte = (int8_t)s[i];

        if (byte < 0x20 || byte == a || byte == b || byte == c)
            break;
    }
    return i;
}

bool find_text(const char *s, size_t len, const char *text)
{
    const size_t text_len = strlen(text);
    const int8_t first = (int8_t)text[0], last = (int8_t)text[text_len - 1];
    size_t i = 0;

    if (len < text_len)
        return false;
    /* Places where both the first and the last byte fit are few. */
    for (; len - i >= text_len - 1 + WIDE; i += WIDE) {
        wide fits = (load(s + i) == first) & (load(s + i + text_len - 1) == last);

        for (size_t at = first_set(fits); at < WIDE; at = first_set(fits)) {
            if (memcmp(s + i + at, text, text_len) == 0)
                return true;
            fits[at] = 0;
        }
    }
    return memmem(s + i, len - i, text, text_len) != NULL;
}
