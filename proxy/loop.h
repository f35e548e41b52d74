/*
 * The one thread and its turn: libuv's loop with libwebsockets on it, work put off to the end of the
 * turn, and a coarse tick. Time is monotonic milliseconds, read once a turn.
 */
#pragma once

#include "xmpp/buf.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct lws_context;
struct carriers;
struct config;
struct worker;

/* Work for the end of this turn, embedded in what it works on. Queued once at most. */
struct deferred {
    void (*run)(struct deferred *self);
    struct deferred *next;
    bool queued;
};

struct loop;

/* The process's one loop; NULL when it or libwebsockets cannot be set up, and the reason was logged. */
struct loop *loop_new(void);
/* Runs until loop_stop, then until every handle is closed. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
/* Ends every conn that is left and tells their owners, so that those can be freed before the loop. */
void loop_drop_conns(struct loop *loop);
void loop_free(struct loop *loop);

int64_t loop_now(const struct loop *loop);
/* Counts the turns: how often it waited for events. */
uint64_t loop_turn(const struct loop *loop);
void loop_defer(struct loop *loop, struct deferred *work);
/* Takes queued work out again; for what is being freed. */
void loop_undefer(struct loop *loop, struct deferred *work);
/* Called every 100 ms. One listener is enough: main fans it out. */
void loop_on_tick(struct loop *loop, void (*tick)(void *ctx, int64_t now), void *ctx);
/* Called on SIGTERM, SIGINT and SIGHUP, each time. */
void loop_on_signal(struct loop *loop, void (*caught)(void *ctx, int number), void *ctx);
/* Random bytes of the operating system. */
void loop_random(struct loop *loop, void *to, size_t len);

/* Output memory comes from here and goes back as soon as it is empty, so that an idle conn holds none
 * and a busy one allocates none. loop_lend gives an empty buffer memory, if there is some. */
void loop_lend(struct loop *loop, struct buf *b);
void loop_take_back(struct loop *loop, struct buf *b);

size_t loop_conns_len(const struct loop *loop);
/* How many of them are read away until their peers close (conn_close_lingering). */
size_t loop_conns_lingering(const struct loop *loop);

/* For the transport (carrier.c, conn.c, connect.c, listener.c) only. */
struct lws_context *loop_lws(struct loop *loop);
uv_loop_t *loop_uv(struct loop *loop);
struct conn_list *loop_conns(struct loop *loop);
struct carriers *loop_carriers(struct loop *loop);
/* Where what is read from a socket lies while it is told: one at a time. */
uint8_t *loop_received(struct loop *loop, size_t *ret_cap);
struct worker *loop_resolver(struct loop *loop); /* where names are looked up */
