/*
 * A growable byte buffer (see buf.h). What a newcomer gets wrong: a builder need not check each
 * step, but must look at `failed` before it uses the content, since pieces behind the failure are
 * missing.
 */
#include "xmpp/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUF_FIRST 256

void buf_done(struct buf *b)
{
    free(b->data);
    *b = (struct buf)BUF_INIT;
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->failed = false;
    if (b->data)
        b->data[0] = '\0';
}

bool buf_grow(struct buf *b, size_t more)
{
    if (b->failed)
        return false;
    if (more >= SIZE_MAX / 2 - b->len) {
        b->failed = true;
        return false;
    }
    size_t need = b->len + more + 1; /* the NUL */
    if (need <= b->cap)
        return true;
    size_t cap = b->cap ? b->cap : BUF_FIRST;
    while (cap < need)
        cap *= 2;
    char *data = realloc(b->data, cap);
    if (!data) {
        b->failed = true;
        return false;
    }
    b->data = data;
    b->cap = cap;
    b->data[b->len] = '\0';
    return true;
}

void buf_add(struct buf *b, const void *data, size_t len)
{
    if (!buf_reserve(b, len))
        return;
    if (len)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = '\0';
}

void buf_add_str(struct buf *b, const char *text)
{
    buf_add(b, text, strlen(text));
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args;
    if (!buf_reserve(b, 0))
        return;
    size_t room = b->cap - b->len;
    va_start(args, fmt);
    int len = vsnprintf(b->data + b->len, room, fmt, args);
    va_end(args);
    if (len >= 0 && (size_t)len < room) {
        b->len += (size_t)len;
        return;
    }
    b->data[b->len] = '\0';
    if (len < 0) {
        b->failed = true;
        return;
    }
    if (!buf_reserve(b, (size_t)len))
        return;
    va_start(args, fmt);
    vsnprintf(b->data + b->len, (size_t)len + 1, fmt, args);
    va_end(args);
    b->len += (size_t)len;
}

void buf_add_xml(struct buf *b, const char *text)
{
    for (;;) {
        size_t plain = strcspn(text, "&<>'\"");
        buf_add(b, text, plain);
        text += plain;
        switch (*text++) {
        case '&':
            buf_add_str(b, "&amp;");
            break;
        case '<':
            buf_add_str(b, "&lt;");
            break;
        case '>':
            buf_add_str(b, "&gt;");
            break;
        case '\'':
            buf_add_str(b, "&apos;");
            break;
        case '"':
            buf_add_str(b, "&quot;");
            break;
        default:
            return;
        }
    }
}

void buf_drop(struct buf *b, size_t n)
{
    if (n == 0 || !b->data)
        return;
    b->len -= n;
    memmove(b->data, b->data + n, b->len + 1);
}

char *buf_take(struct buf *b)
{
    char *data = b->failed || b->len == 0 ? NULL : b->data;
    if (!data)
        free(b->data);
    *b = (struct buf)BUF_INIT;
    return data;
}
