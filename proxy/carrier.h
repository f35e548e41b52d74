/*
 * What libwebsockets knows of a socket, kept when the socket ends and used for the next one. What a
 * newcomer gets wrong: the file descriptor stays, and what is behind it changes (dup3).
 *
 * Taking a socket in and letting it go costs libwebsockets and libuv some twenty system calls, and at
 * each end a walk over a table of all files that may be open.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct loop;
struct lws;
struct lws_vhost;

#define CARRIERS_MAX 256

struct carriers {
    struct lws_vhost *vhost; /* of every conn; NULL until the first */
    struct lws *parked[CARRIERS_MAX];
    size_t len;
    size_t files; /* that may be open; 0: not known yet */
    int blank; /* what stands behind a parked one's descriptor: nothing ever comes there */
};

#define CARRIERS_INIT {.blank = -1}

/* Has fd (non-blocking) carried, with events for conn. It owns fd from here, also where it fails: NULL
 * when out of memory or of files. Not to be called under a callback of libwebsockets. */
struct lws *carrier_take(struct loop *loop, int fd, void *conn);
/* The socket ends. is_sound: it was connected, and its writing is not waited for, so that the carrier is as
 * good as new. Not to be called under a callback of libwebsockets. */
void carrier_leave(struct loop *loop, struct lws *wsi, bool is_sound);
void carriers_done(struct carriers *carriers);
