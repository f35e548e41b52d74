/*
 * Heads that outlive the buffer they were read in (see bosh_head.h). What a newcomer gets wrong:
 * all of a head's slices lie in one text, from the method to the last value, so one copy of that is
 * enough.
 */
#include "proxy/bosh_head.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *moved(const char *at, const char *from, const char *to)
{
    return at ? to + (at - from) : NULL;
}

static void move_slice(struct http_slice *slice, const char *from, const char *to)
{
    slice->at = moved(slice->at, from, to);
}

char *bosh_head_copy(struct http_head *ret, const struct http_head *head)
{
    const char *from = head->method.at;
    const char *end = head->target.at + head->target.len;
    char *text;

    for (size_t i = 0; i < head->headers_len; i++) {
        const struct http_slice value = head->headers[i].value;

        if (value.at && value.at + value.len > end)
            end = value.at + value.len;
    }
    text = malloc((size_t)(end - from) + 1);
    if (!text)
        return NULL;
    memcpy(text, from, (size_t)(end - from));
    *ret = *head;
    move_slice(&ret->method, from, text);
    move_slice(&ret->target, from, text);
    move_slice(&ret->path, from, text);
    move_slice(&ret->query, from, text);
    for (size_t i = 0; i < head->headers_len; i++) {
        move_slice(&ret->headers[i].name, from, text);
        move_slice(&ret->headers[i].value, from, text);
    }
    return text;
}

void bosh_head_drop_content(struct http_head *head)
{
    size_t kept = 0;

    for (size_t i = 0; i < head->headers_len; i++) {
        const struct http_slice name = head->headers[i].name;

        if (name.len < 8 || strncasecmp(name.at, "content-", 8) != 0)
            head->headers[kept++] = head->headers[i];
    }
    head->headers_len = kept;
}
