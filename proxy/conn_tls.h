/*
 * TLS of one conn, without a socket: what came off the wire goes in, what goes onto it comes out.
 * libwebsockets 4.1 cannot do TLS for outgoing raw connections, and one way for both sides is simpler
 * than two.
 */
#pragma once

#include "xmpp/buf.h"

#include <stdint.h>

struct conn_tls;
struct ssl_ctx_st;

enum conn_tls_result {
    CONN_TLS_OK = 0,
    CONN_TLS_CLOSED, /* the peer ended it in order (close_notify) */
    CONN_TLS_FAILED, /* see conn_tls_error */
};

/* server_name: for a client, the name sent as SNI (RFC 6066; none for an IP address); NULL makes a
 * server. NULL when out of memory. */
struct conn_tls *conn_tls_new(struct ssl_ctx_st *context, const char *server_name);
void conn_tls_free(struct conn_tls *t);

/* A client's first flight. */
enum conn_tls_result conn_tls_begin(struct conn_tls *t);
/* Bytes off the wire: takes the handshake further. Then conn_tls_read gives what is to be read. */
enum conn_tls_result conn_tls_feed(struct conn_tls *t, const uint8_t *data, size_t len);
bool conn_tls_is_established(const struct conn_tls *t);
/* Up to size bytes of plain text; *ret_len is 0 when there are no more for now. */
enum conn_tls_result conn_tls_read(struct conn_tls *t, uint8_t *to, size_t size, size_t *ret_len);
/* Encrypts data. Only once established. */
enum conn_tls_result conn_tls_write(struct conn_tls *t, const char *data, size_t len);
/* Tells the peer that nothing more comes (close_notify). */
void conn_tls_shutdown(struct conn_tls *t);
/* Moves what is to go onto the wire to the end of out. */
void conn_tls_take(struct conn_tls *t, struct buf *out);
/* Why it failed: one English phrase, no secret. */
const char *conn_tls_error(const struct conn_tls *t);
