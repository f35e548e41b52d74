/*
 * One byte stream: TCP, TLS or a unix socket, made by the listener or by conn_connect. libwebsockets
 * carries it; nothing above this header knows lws_callback_reasons.
 *
 * Lifetimes: the conn belongs to the loop. Its owner holds a pointer until it calls conn_close or
 * conn_abort, or until `closed` is called; after either it hears nothing more and must not touch the
 * conn again. The memory goes at the end of a turn, never under a callback.
 */
#pragma once

#include "xmpp/buf.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct loop;
struct conn;
struct ssl_ctx_st;

struct conn_callbacks {
    /* Outgoing only: connected, TLS and all. */
    void (*opened)(void *owner);
    /* Bytes, which the owner may change in place. They are gone when it returns. */
    void (*received)(void *owner, uint8_t *data, size_t len);
    /* What was waiting to be written fell below CONN_LOW_MARK. */
    void (*drained)(void *owner);
    /* The peer, the network or a failed connect ended it. why is an English phrase: CONN_ENDED where the
     * connection simply ended, as after a body without a length. */
    void (*closed)(void *owner, const char *why);
};

#define CONN_ENDED "the connection ended"
#define CONN_REFUSED "nothing answers there: the connection was refused or cut"

/* Above the high mark the writer's source is to be stopped, below the low mark it may go on. */
#define CONN_HIGH_MARK (256 * 1024)
#define CONN_LOW_MARK (64 * 1024)

struct conn_target {
    const char *host; /* name or number; a name is resolved off the loop */
    uint16_t port;
    struct ssl_ctx_st *tls; /* NULL for a plain connection; a connection holds on to it */
};

/* Takes in what was accepted: fd is the conn's from here, also where NULL is returned, out of memory.
 * The caller gives it an owner before the turn ends. tls: NULL for a plain connection. */
struct conn *conn_accept(struct loop *loop, int fd, const struct sockaddr_storage *address,
                         struct ssl_ctx_st *tls);
/* Begins to connect; target is copied. NULL only when out of memory; all else is told by `closed`. */
struct conn *conn_connect(struct loop *loop, const struct conn_target *target, int64_t timeout_ms,
                          const struct conn_callbacks *callbacks, void *owner);
void conn_set_owner(struct conn *c, const struct conn_callbacks *callbacks, void *owner);

/* Where to append what is to be written; it leaves in one write at the end of the turn. A failed
 * buffer closes the conn. */
struct buf *conn_output(struct conn *c);
/* Whether more waits to be written than the high mark. Then `drained` is sure to come. */
bool conn_is_full(struct conn *c);
void conn_pause(struct conn *c);
void conn_resume(struct conn *c);

/* Writes what is waiting (for 5 s at most), then closes. */
void conn_close(struct conn *c);
/* As conn_close, for a peer that may be in the middle of writing: what it sends is read and thrown away
 * until it closes too (2 s and 16 MiB at most), since closing before would make the kernel reset the
 * connection, and our last words with it. */
void conn_close_lingering(struct conn *c);
/* As conn_close, for a peer that has said its last word: ours leaves in one packet with the end. Where
 * the peer has written on all the same, as conn_close_lingering. */
void conn_close_answered(struct conn *c);
/* Closes at the end of the turn, whatever is waiting. */
void conn_abort(struct conn *c);

/* Ends it (with `closed`, as if the peer had) unless it was ended by then or CONN_NEVER was said. */
#define CONN_NEVER (-1)
void conn_expire(struct conn *c, int64_t after_ms);
/* When that is, INT64_MAX for never. */
int64_t conn_deadline(const struct conn *c);

/* The peer as "192.0.2.1:1234", "[2001:db8::1]:1234" or "unix" into ret, of CONN_PEER_MAX bytes. */
#define CONN_PEER_MAX 64
void conn_peer(const struct conn *c, char *ret);
/* The peer's address, IPv4 as mapped IPv6; false for a unix socket. */
bool conn_peer_address(const struct conn *c, struct in6_addr *ret);
/* When bytes last came or went. */
int64_t conn_last_activity(const struct conn *c);
bool conn_is_tls(const struct conn *c);
bool conn_is_loopback(const struct conn *c);
struct loop *conn_loop(const struct conn *c);
