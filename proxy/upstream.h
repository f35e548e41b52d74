/*
 * A WebSocket to Prosody, from nothing to open.
 */
#pragma once

#include "proxy/handshake.h"
#include "proxy/wsock.h"

struct config;
struct upstream;

struct upstream_callbacks {
    /* It is open; the wsock is the owner's (give it its callbacks by wsock_adopt) and delivers
     * nothing until wsock_start. The last callback. */
    void (*opened)(void *owner, struct wsock *w);
    /* It failed; status is Prosody's HTTP status, 502 when it ended the connection without one, or 0 when
     * there is no connection to it. The last one. */
    void (*failed)(void *owner, int status, const char *why);
};

/* Where Prosody is: borrowed for as long as anything of it is open. */
struct upstream_target {
    struct conn_target conn;
    const char *path, *host;
    size_t max_message;
};

/* Begins; NULL only when out of memory. request needs its client, query, forwarded_for and
 * client_is_trusted (all copied before it returns); the rest is filled in here. */
struct upstream *upstream_open(struct loop *loop, const struct upstream_target *target,
                               const struct handshake_request *request,
                               const struct upstream_callbacks *callbacks, void *owner);
/* Lets go of it before it opened; no callback comes. */
void upstream_cancel(struct upstream *u);
