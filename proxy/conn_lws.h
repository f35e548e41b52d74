/*
 * What the files that share libwebsockets know of a conn: carrier.c, conn.c, connect.c, loop.c.
 */
#pragma once

#include "proxy/conn.h"
#include "proxy/loop.h"

#include <libwebsockets.h>

#define CONN_MAGIC 0x436f6e6eu

/* What every message looks at comes first. */
struct conn {
    uint32_t magic;
    enum conn_ending {
        CONN_STAYS,
        CONN_CLOSES_FLUSHED,
        CONN_CLOSES_ANSWERED, /* as that; what is written last waits for the end, to leave with it */
        CONN_LINGERS_FLUSHED,
        CONN_LINGERS, /* until the peer closes */
        CONN_CLOSES_NOW,
    } ending;
    struct loop *loop;
    struct lws *wsi; /* NULL before connecting and once libwebsockets let go of it */
    const struct conn_callbacks *callbacks; /* NULL once the owner let go */
    void *owner;
    struct deferred flush; /* queued whenever something waits to be written, closed or told */

    struct buf out;       /* what the owner wrote */
    struct conn_tls *tls; /* NULL: plain */
    int64_t last_activity;
    const char *lost; /* why the peer's end is gone, to be told at the end of the turn */
    int fd;           /* wsi's, -1 without one */
    bool is_open;       /* the owner may write */
    bool is_connected;  /* the socket is; TLS may still be on its way */
    bool is_outgoing;
    bool is_unix, is_paused;
    bool write_blocked;  /* the kernel took less than all: its word is awaited */
    bool told_high;      /* over the high mark: `drained` is owed */
    bool is_lingering;   /* is among those that conn_list counts */
    bool tls_ended;      /* the peer's close_notify came */

    struct buf wire;  /* with TLS, what `out` became */
    int64_t deadline; /* of connecting, or of flushing before the end; INT64_MAX when none */
    size_t thrown_away; /* bytes, while it lingers */
    struct in6_addr address;
    uint16_t port;
    struct connecting *connecting; /* connect.c's, while it lasts */
    struct conn *next, **link;     /* loop_conns */
};

struct conn_list {
    struct conn *first;
    size_t len, lingering;
    int64_t soonest; /* no deadline is before it: conns_tick looks at none of them until then */
};

/* The libwebsockets protocols of the conns' vhost. */
extern const struct lws_protocols conn_protocols[];

struct conn *conn_new(struct loop *loop);
/* The socket is its own from here, also where it fails: then c->wsi is NULL. */
void conn_carry(struct conn *c, int fd);
/* Outgoing: the socket is connected. */
void conn_connected(struct conn *c);
/* Writes what the kernel takes; the rest when it takes more. False: the peer is gone, or no memory. */
bool conn_write(struct conn *c);
/* With TLS our end of it (RFC 8446 section 6.1), once. */
void conn_write_tls_end(struct conn *c);
static inline bool conn_is_written(const struct conn *c)
{
    return c->out.len == 0 && c->wire.len == 0;
}
void conn_set_address(struct conn *c, const struct sockaddr_storage *address);
/* The only way to set a deadline; INT64_MAX: none. */
void conn_set_deadline(struct conn *c, int64_t deadline);
/* Ten times a second: deadlines of connecting and of closing. */
void conns_tick(struct loop *loop, int64_t now);
/* The end of this connect attempt: tries the next address, or tells the owner. */
void connect_failed(struct conn *c, const char *why);
void connect_step(struct conn *c);
/* The socket became writable: it is connected, or that failed. False when libwebsockets is to close it. */
bool connect_is_done(struct conn *c);
/* It stands: its TLS set-up and the host it was for are returned, borrowed until connect_cancel. */
struct ssl_ctx_st *connect_tls(const struct conn *c, const char **ret_host);
void connect_cancel(struct conn *c); /* frees c->connecting */
/* why: a fixed phrase, or one that lives as long as the conn's parts. */
void conn_lose(struct conn *c, const char *why);
