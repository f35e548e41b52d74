/*
 * See http_cache.h. What a newcomer gets wrong: of two answers the careful one counts. Fresh too
 * short costs a request, fresh too long keeps what was withdrawn.
 */
#include "xmpp/http_cache.h"

#include <string.h>
#include <strings.h>

/* As RFC 9111 section 1.2.2 has it for what is too large. */
#define SECONDS_MAX INT64_C(2147483648)

static struct http_slice trim(struct http_slice s)
{
    while (s.len > 0 && (s.at[0] == ' ' || s.at[0] == '\t')) {
        s.at++;
        s.len--;
    }
    while (s.len > 0 && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* -1: not a number of seconds. A directive's may stand in quotes (section 5.2). */
static int64_t read_seconds(struct http_slice s)
{
    int64_t seconds = 0;

    if (s.len >= 2 && s.at[0] == '"' && s.at[s.len - 1] == '"')
        s = (struct http_slice){s.at + 1, s.len - 2};
    if (s.len == 0)
        return -1;
    for (size_t i = 0; i < s.len; i++) {
        if (s.at[i] < '0' || s.at[i] > '9')
            return -1;
        seconds = seconds * 10 + (s.at[i] - '0');
        if (seconds > SECONDS_MAX)
            seconds = SECONDS_MAX;
    }
    return seconds;
}

/* The next directive; commas within quotes part nothing. */
static bool next_directive(struct http_slice *rest, struct http_slice *ret)
{
    bool quoted = false;
    size_t len = 0;

    if (rest->len == 0)
        return false;
    for (; len < rest->len && (quoted || rest->at[len] != ','); len++) {
        if (rest->at[len] == '"')
            quoted = !quoted;
        else if (rest->at[len] == '\\' && quoted && len + 1 < rest->len)
            len++;
    }
    *ret = trim((struct http_slice){rest->at, len});
    if (len < rest->len)
        len++;
    rest->at += len;
    rest->len -= len;
    return true;
}

/* What one directive says: seconds, or -1 where nothing. no-cache="name" speaks of that header
 * only, and is taken for the whole. */
static int64_t directive_age(struct http_slice directive)
{
    const char *equals = directive.len > 0 ? memchr(directive.at, '=', directive.len) : NULL;
    size_t name_len = equals ? (size_t)(equals - directive.at) : directive.len;
    struct http_slice name = trim((struct http_slice){directive.at, name_len});
    int64_t seconds;

    if (http_slice_is_nocase(name, "no-cache") || http_slice_is_nocase(name, "no-store"))
        return 0;
    if (!http_slice_is_nocase(name, "max-age"))
        return -1;
    if (!equals)
        return 0;
    seconds = read_seconds(
        trim((struct http_slice){equals + 1, directive.len - (size_t)(equals - directive.at) - 1}));
    return seconds < 0 ? 0 : seconds;
}

int64_t http_max_age(const struct http_head *response)
{
    const struct http_header *age = http_header(response, "age");
    int64_t least = -1, spent = age ? read_seconds(age->value) : 0;

    for (size_t i = 0; i < response->headers_len; i++) {
        struct http_slice rest = response->headers[i].value, directive;

        if (!http_slice_is_nocase(response->headers[i].name, "cache-control"))
            continue;
        while (next_directive(&rest, &directive)) {
            int64_t seconds = directive_age(directive);

            if (seconds >= 0 && (least < 0 || seconds < least))
                least = seconds;
        }
    }
    if (least < 0 || spent < 0)
        return least;
    return spent >= least ? 0 : least - spent;
}
