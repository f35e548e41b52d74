/*
 * The HTTP side of a WebSocket (RFC 6455 section 4, RFC 7395 section 3.1): what a client must ask,
 * what it is answered, and the same towards Prosody. Text in, text out.
 */
#pragma once

#include "xmpp/buf.h"
#include "xmpp/http.h"

#include <stdint.h>

struct config;

#define HANDSHAKE_KEY_LEN 24    /* base64 of 16 bytes */
#define HANDSHAKE_ACCEPT_LEN 28 /* base64 of a SHA-1 */

/* Whether a request asks for a WebSocket at all. */
bool handshake_is_upgrade(const struct http_head *request);
/* The status that refuses an upgrade we cannot serve (400, 426, 501), 0 when all is well; *ret_why
 * is a fixed phrase. */
int handshake_check(const struct http_head *request, const char **ret_why);
/* Appends the 101 response. */
void handshake_accept(struct buf *out, const struct http_head *request);
/* The reason phrase of an HTTP status that we answer with. */
const char *handshake_status_text(int status);
/* Appends a whole response with a text body, for a connection that ends with it. */
void handshake_refuse(struct buf *out, int status, const char *why);

/* Appends the request for path?query with key, and the end-to-end headers the client sent (all but
 * those of its own connection), with host in place of its Host and forwarded_for in place of its
 * X-Forwarded-For (NULL: none). client may be NULL. With upgrade false it is a plain request that
 * asks for the connection to end with the response. */
struct handshake_request {
    const char *method, *path;
    struct http_slice query; /* at NULL when there is none */
    const char *host;
    const char *forwarded_for;
    bool client_is_trusted; /* else what it says of others' addresses is left out */
    const struct http_head *client;
    bool upgrade;
    bool has_content; /* of a plain request: content_len bytes follow */
    uint64_t content_len;
    char key[HANDSHAKE_KEY_LEN + 1];
};
void handshake_request(struct buf *out, const struct handshake_request *request);
void handshake_make_key(const uint8_t random[16], char ret[HANDSHAKE_KEY_LEN + 1]);
/* Whether a response completes the upgrade begun with key; *ret_why says what is wrong. */
bool handshake_completes(const struct http_head *response, const char *key, const char **ret_why);
