/*
 * The body of an HTTP/1.1 response to a GET (RFC 9112 sections 6 and 7), taken out of its framing as it
 * comes: by its length, in chunks, or up to the end of the connection. Read strictly: a body whose length
 * is said in two ways is refused.
 */
#pragma once

#include "xmpp/buf.h"
#include "xmpp/http.h"

#include <stdint.h>

struct http_body {
    /* private */
    int state;
    bool is_chunked;
    uint64_t left; /* of the length, or of the chunk */
    unsigned digits;
    size_t aside; /* bytes of chunk extensions and trailers, which nobody reads */
    size_t taken, max;
};

enum http_body_result {
    HTTP_BODY_END = 0, /* complete; what came behind it is no part of it */
    HTTP_BODY_MORE,
    HTTP_BODY_BAD,
    HTTP_BODY_TOO_LARGE,
};

/* Finds out how the body that follows head ends. HTTP_BODY_END: there is none; else HTTP_BODY_MORE and
 * the rest is fed. max: bytes taken at most. */
enum http_body_result http_body_begin(struct http_body *b, const struct http_head *response, size_t max)
    __attribute__((warn_unused_result));
/* Adds to out what of data is body (out->failed when there was no memory). */
enum http_body_result http_body_feed(struct http_body *b, const char *data, size_t len,
                                     struct buf *out) __attribute__((warn_unused_result));
/* The peer closed: HTTP_BODY_END where that is how the body ends, else HTTP_BODY_BAD, it was cut off. */
enum http_body_result http_body_closed(const struct http_body *b);
