/*
 * See http_body.h. Chunks are read byte by byte by a small machine, but for their data; a chunk's
 * size and what surrounds it may be cut anywhere between two reads.
 *
 * What a newcomer gets wrong: a body that ends with the connection may have been cut off, and
 * nothing here can tell. Who reads it has to notice, as JSON and PEM make one.
 */
#include "xmpp/http_body.h"

#include <string.h>

/* Of chunk extensions and trailers in all: servers of keys send none. */
#define ASIDE_MAX 4096
/* Hexadecimal digits of a chunk's size; more would be 4 GiB. */
#define DIGITS_MAX 8

enum state {
    ENDED,
    LENGTH, /* `left` bytes are to come */
    UNTIL_CLOSE,
    SIZE,      /* a chunk's size */
    EXTENSION, /* behind the size, up to the end of the line */
    SIZE_LF,
    DATA, /* `left` bytes of the chunk */
    DATA_CR,
    DATA_LF,
    TRAILER, /* at the beginning of a line */
    TRAILER_IN,
    TRAILER_LF,
    LAST_LF,
};

/* One header of digits only (section 6.3: anything else and the ends would disagree). */
static bool read_length(const struct http_head *head, uint64_t *ret)
{
    const struct http_slice value = http_header(head, "content-length")->value;
    uint64_t length = 0;

    if (http_header_count(head, "content-length") != 1 || value.len == 0 || value.len > 18)
        return false;
    for (size_t i = 0; i < value.len; i++) {
        if (value.at[i] < '0' || value.at[i] > '9')
            return false;
        length = length * 10 + (uint64_t)(value.at[i] - '0');
    }
    *ret = length;
    return true;
}

static enum http_body_result begin_chunked(struct http_body *b, const struct http_head *head)
{
    const struct http_header *coding = http_header(head, "transfer-encoding");

    if (head->minor_version != 1 || http_header(head, "content-length") ||
        http_header_count(head, "transfer-encoding") != 1 ||
        !http_slice_is_nocase(coding->value, "chunked"))
        return HTTP_BODY_BAD;
    b->state = SIZE;
    b->is_chunked = true;
    return HTTP_BODY_MORE;
}

enum http_body_result http_body_begin(struct http_body *b, const struct http_head *response,
                                      size_t max)
{
    *b = (struct http_body){.state = ENDED, .max = max};
    if (response->status < 200 || response->status == 204 || response->status == 304)
        return HTTP_BODY_END;
    if (http_header(response, "transfer-encoding"))
        return begin_chunked(b, response);
    if (!http_header(response, "content-length")) {
        b->state = UNTIL_CLOSE;
        return HTTP_BODY_MORE;
    }
    if (!read_length(response, &b->left))
        return HTTP_BODY_BAD;
    if (b->left > max)
        return HTTP_BODY_TOO_LARGE;
    if (b->left == 0)
        return HTTP_BODY_END;
    b->state = LENGTH;
    return HTTP_BODY_MORE;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* A byte that may stand in an extension or a trailer. */
static bool is_aside(struct http_body *b, char c)
{
    unsigned char byte = (unsigned char)c;

    return ++b->aside <= ASIDE_MAX && (byte == '\t' || (byte >= ' ' && byte != 0x7f));
}

static bool size_byte(struct http_body *b, char c)
{
    int value = hex_value(c);

    if (value >= 0) {
        b->left = b->left * 16 + (uint64_t)value;
        return ++b->digits <= DIGITS_MAX;
    }
    if (b->digits == 0)
        return false;
    b->state = c == '\r' ? SIZE_LF : EXTENSION;
    return c == '\r' || c == ';' || c == ' ' || c == '\t';
}

/* The byte that must stand here, and what follows it. */
static bool pass(struct http_body *b, char c, char expected, enum state next)
{
    b->state = next;
    return c == expected;
}

/* One byte that is no data. */
static bool frame_byte(struct http_body *b, char c)
{
    switch (b->state) {
    case SIZE:
        return size_byte(b, c);
    case EXTENSION:
        return c == '\r' ? pass(b, c, '\r', SIZE_LF) : is_aside(b, c);
    case SIZE_LF:
        b->digits = 0;
        return pass(b, c, '\n', b->left > 0 ? DATA : TRAILER);
    case DATA_CR:
        return pass(b, c, '\r', DATA_LF);
    case DATA_LF:
        return pass(b, c, '\n', SIZE);
    case TRAILER:
        if (c == '\r')
            return pass(b, c, '\r', LAST_LF);
        b->state = TRAILER_IN;
        return is_aside(b, c);
    case TRAILER_IN:
        return c == '\r' ? pass(b, c, '\r', TRAILER_LF) : is_aside(b, c);
    case TRAILER_LF:
        return pass(b, c, '\n', TRAILER);
    case LAST_LF:
        return pass(b, c, '\n', ENDED);
    default:
        return false;
    }
}

/* The bytes at data that are body: how many, or SIZE_MAX when they are too many. */
static size_t take(struct http_body *b, const char *data, size_t len, struct buf *out)
{
    if (b->state != UNTIL_CLOSE && len > b->left)
        len = (size_t)b->left;
    if (len > b->max - b->taken)
        return SIZE_MAX;
    buf_add(out, data, len);
    b->taken += len;
    if (b->state == UNTIL_CLOSE)
        return len;
    b->left -= len;
    if (b->left == 0)
        b->state = b->is_chunked ? DATA_CR : ENDED;
    return len;
}

enum http_body_result http_body_feed(struct http_body *b, const char *data, size_t len,
                                     struct buf *out)
{
    for (size_t at = 0; at < len && b->state != ENDED;) {
        if (b->state != LENGTH && b->state != UNTIL_CLOSE && b->state != DATA) {
            if (!frame_byte(b, data[at++]))
                return HTTP_BODY_BAD;
            continue;
        }
        size_t taken = take(b, data + at, len - at, out);
        if (taken == SIZE_MAX)
            return HTTP_BODY_TOO_LARGE;
        at += taken;
    }
    return b->state == ENDED ? HTTP_BODY_END : HTTP_BODY_MORE;
}

enum http_body_result http_body_closed(const struct http_body *b)
{
    return b->state == ENDED || b->state == UNTIL_CLOSE ? HTTP_BODY_END : HTTP_BODY_BAD;
}
