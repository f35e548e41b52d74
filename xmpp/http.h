/*
 * The head of an HTTP/1.1 message (RFC 9112), read strictly: what two servers could read in two
 * ways (folded lines, bare CR or LF, spaces before the colon, control characters) is refused.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_MAX 16384
#define HTTP_HEADERS_MAX 64

struct http_slice {
    const char *at; /* not terminated */
    size_t len;
};

struct http_header {
    struct http_slice name, value; /* value without surrounding white space */
};

struct http_head {
    struct http_slice method, target;       /* of a request */
    struct http_slice path, query;          /* of the target; query without '?', at NULL if none */
    int status;                             /* of a response */
    struct http_slice reason;
    int minor_version;                      /* HTTP/1.x */
    struct http_header headers[HTTP_HEADERS_MAX];
    size_t headers_len;
};

enum http_result {
    HTTP_OK = 0,
    HTTP_MORE,      /* the head is not complete yet */
    HTTP_BAD,       /* 400 */
    HTTP_TOO_LARGE, /* 431 */
};

/* Reads a head at data; on HTTP_OK *ret points into data and *ret_len is the head's length with the
 * empty line. A target must be in origin-form ("/path?query"). */
enum http_result http_parse_request(const char *data, size_t len, struct http_head *ret,
                                    size_t *ret_len) __attribute__((warn_unused_result));
enum http_result http_parse_response(const char *data, size_t len, struct http_head *ret,
                                     size_t *ret_len) __attribute__((warn_unused_result));

bool http_slice_is(struct http_slice s, const char *text);      /* exactly */
bool http_slice_is_nocase(struct http_slice s, const char *text);
/* The first header of that name (any case); NULL when there is none. */
const struct http_header *http_header(const struct http_head *head, const char *name);
/* How many headers of that name there are. */
size_t http_header_count(const struct http_head *head, const char *name);
/* Whether any header of that name lists token (comma-separated, any case). */
bool http_header_has_token(const struct http_head *head, const char *name, const char *token);
bool http_header_lists(const struct http_head *head, const char *name, struct http_slice token);
/* Whether path is the endpoint at path wanted: repeated and trailing slashes count as Prosody's HTTP
 * server takes them (wire fact 20). */
bool http_path_is(struct http_slice path, const char *wanted);

/* How the end of a request's content is found (RFC 9112 section 6.3). */
enum http_framing {
    HTTP_NO_CONTENT = 0,
    HTTP_LENGTH,          /* that many bytes follow, which may be 0 */
    HTTP_CHUNKED,         /* 411 where it is not read */
    HTTP_FRAMING_UNCLEAR, /* two servers might not agree: 400, and the connection ends */
};
/* *ret_len is written for HTTP_LENGTH only; a length that has no room in it is UINT64_MAX. */
enum http_framing http_request_framing(const struct http_head *request, uint64_t *ret_len)
    __attribute__((warn_unused_result));
