/*
 * See query.h. Prosody and the proxy must find the same token in the same URL: whatever Prosody's
 * decoder does, this does, its oddities included.
 *
 * What a newcomer gets wrong: an escape whose two digits differ in case ("%2b" and "%2B" are one,
 * but
 * "%aB" is not) is left as it is, because Prosody looks escapes up in a table that holds only the
 * all-lower and the all-upper spelling.
 */
#include "xmpp/query.h"

#include "xmpp/find.h"

#include <stdlib.h>
#include <string.h>

/* The value of a hexadecimal digit, -1 for others; *ret_case is 'a' or 'A' for a letter, else 0. */
static int hex_digit(char c, char *ret_case)
{
    *ret_case = 0;
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f') {
        *ret_case = 'a';
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        *ret_case = 'A';
        return c - 'A' + 10;
    }
    return -1;
}

/* Decodes the character at p (len > 0 bytes left); *ret_used is 3 for an escape, else 1. */
static char decode_one(const char *p, size_t len, size_t *ret_used)
{
    char high_case, low_case;

    *ret_used = 1;
    if (p[0] == '+')
        return ' ';
    if (p[0] != '%' || len < 3)
        return p[0];
    int high = hex_digit(p[1], &high_case), low = hex_digit(p[2], &low_case);
    if (high < 0 || low < 0 || (high_case != 0 && low_case != 0 && high_case != low_case))
        return p[0];
    *ret_used = 3;
    return (char)(high << 4 | low);
}

/* Whether the encoded text is name once decoded. */
static bool decodes_to(const char *text, size_t len, const char *name)
{
    size_t name_len = strlen(name), n = 0;

    for (size_t at = 0, used; at < len; at += used, n++) {
        char c = decode_one(text + at, len - at, &used);
        if (n == name_len || c != name[n])
            return false;
    }
    return n == name_len;
}

enum query_result query_get(const char *query, size_t len, const char *name, char **ret_value,
                            size_t *ret_len, size_t *ret_count)
{
    const char *value = NULL;
    size_t value_len = 0, count = 0;

    for (size_t at = 0, end; at < len; at = end + 1) {
        const char *amp = memchr(query + at, '&', len - at);
        end = amp != NULL ? (size_t)(amp - query) : len;
        /* The name ends at the first '='; a part without one is no parameter at all. */
        const char *equals = memchr(query + at, '=', end - at);
        if (equals == NULL || !decodes_to(query + at, (size_t)(equals - query) - at, name))
            continue;
        value = equals + 1;
        value_len = end - (size_t)(value - query);
        count++;
    }
    if (count == 0)
        return QUERY_ABSENT;

    char *decoded = malloc(value_len + 1); /* decoding never lengthens */
    if (decoded == NULL)
        return QUERY_NO_MEMORY;
    size_t n = 0;
    for (size_t at = 0, used;; at += used) {
        size_t plain = find_stop(value + at, value_len - at, "+%%");
        memcpy(decoded + n, value + at, plain);
        n += plain;
        at += plain;
        if (at == value_len)
            break;
        decoded[n++] = decode_one(value + at, value_len - at, &used);
    }
    decoded[n] = '\0';
    *ret_value = decoded;
    *ret_len = n;
    *ret_count = count;
    return QUERY_OK;
}
