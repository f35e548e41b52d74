/*
 * Messages of a WebSocket. What a newcomer gets wrong: a callback may close the wsock it comes
 * from, so after each one deliver() looks at the state again, and the memory goes only with the
 * conn.
 */
#include "proxy/wsock.h"

#include "proxy/loop.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Bytes kept while stopped before the conn stops reading: enough to see a peer go away while its
 * join is held, and small enough for 20,000 streams. */
#define HELD_MAX 65536
#define CLOSE_LIMIT_MS 2000

enum wsock_state {
    WSOCK_OPEN,
    WSOCK_CLOSING, /* our close frame is sent, the peer's is awaited; the owner is gone */
    WSOCK_CLOSED,  /* nothing more is read */
};

/* What every message looks at comes first. */
struct wsock {
    struct transport transport; /* first: wsock_of */
    struct conn *conn;
    enum ws_role role;
    enum wsock_state state;
    unsigned stopped;
    bool is_delivering;
    struct buf held; /* received and not yet decoded */
    struct ws_decoder decoder;
    struct deferred resume;
    struct deferred release;
    void (*end)(struct conn *conn); /* what release leaves the conn to */
};

static const struct conn_callbacks conn_events;
static const struct transport_kind wsock_kind;

static const uint8_t *mask_for(struct wsock *w, uint8_t mask[4])
{
    if (w->role == WS_SERVER)
        return NULL;
    loop_random(conn_loop(w->conn), mask, 4);
    return mask;
}

static void control(struct wsock *w, enum ws_opcode opcode, const char *data, size_t len)
{
    uint8_t mask[4];

    ws_encode(conn_output(w->conn), opcode, data, len, mask_for(w, mask));
}

static void send_close(struct wsock *w, uint16_t code, const char *reason, size_t len)
{
    uint8_t mask[4];

    ws_encode_close(conn_output(w->conn), code, reason, len, mask_for(w, mask));
}

static void wsock_free(struct wsock *w)
{
    struct loop *loop = conn_loop(w->conn);

    loop_undefer(loop, &w->resume);
    loop_undefer(loop, &w->release);
    ws_decoder_done(&w->decoder);
    buf_done(&w->held);
    free(w);
}

/* Ends it at the end of the turn: deliver() may still be on the stack above us. */
static void finish(struct wsock *w, void (*end)(struct conn *conn))
{
    w->end = end;
    w->state = WSOCK_CLOSED;
    w->transport.callbacks = NULL;
    loop_defer(conn_loop(w->conn), &w->release);
}

static void release(struct deferred *work)
{
    struct wsock *w = (struct wsock *)((char *)work - offsetof(struct wsock, release));
    struct conn *conn = w->conn;
    void (*end)(struct conn * conn) = w->end;

    wsock_free(w);
    end(conn);
}

static void fail(struct wsock *w, uint16_t code, const char *why)
{
    const struct transport_callbacks *callbacks = w->transport.callbacks;
    void *owner = w->transport.owner;

    if (callbacks && callbacks->breaking)
        callbacks->breaking(owner, code);
    if (w->state == WSOCK_OPEN) /* one close frame is all there may be (RFC 6455 section 5.5.1) */
        send_close(w, code, why, strlen(why));
    finish(w, conn_close_lingering); /* it may be writing still */
    if (callbacks)
        callbacks->lost(owner, code, why);
}

static void peer_closes(struct wsock *w, const struct ws_output *close)
{
    const struct transport_callbacks *callbacks = w->transport.callbacks;
    void *owner = w->transport.owner;
    bool is_answer = w->state == WSOCK_OPEN;

    finish(w, conn_close_answered); /* first: then the answer leaves together with the end */
    if (is_answer)
        send_close(w, close->code, NULL, 0);
    if (callbacks)
        callbacks->closed(owner, close->code, close->data, close->len);
}

static void event(struct wsock *w, enum ws_event event, const struct ws_output *out)
{
    switch (event) {
    case WS_TEXT:
        if (w->state == WSOCK_OPEN)
            w->transport.callbacks->message(w->transport.owner, out->data, out->len);
        break;
    case WS_PING:
        /* A peer that pings without reading gets no pongs beyond the high mark (RFC 6455 section
         * 5.5.3 asks only for the latest). */
        if (w->state == WSOCK_OPEN && !wsock_is_full(w))
            control(w, WS_OP_PONG, out->data, out->len);
        break;
    case WS_CLOSE:
        peer_closes(w, out);
        break;
    case WS_FAIL:
        fail(w, out->code, out->reason);
        break;
    case WS_PONG:
    case WS_NEED_MORE:
        break;
    }
}

/* Decodes until the bytes are used or something stops it; says how many were used. */
static size_t deliver(struct wsock *w, uint8_t *data, size_t len)
{
    size_t used = 0;

    w->is_delivering = true;
    while (used < len && w->state != WSOCK_CLOSED && (!w->stopped || w->state == WSOCK_CLOSING)) {
        struct ws_output out;
        size_t took;
        enum ws_event what = ws_decode(&w->decoder, data + used, len - used, &took, &out);

        used += took;
        event(w, what, &out);
    }
    w->is_delivering = false;
    return used;
}

static void set_reading(struct wsock *w)
{
    if ((w->stopped & TRANSPORT_FULL) || (w->stopped && w->held.len >= HELD_MAX))
        conn_pause(w->conn);
    else
        conn_resume(w->conn);
}

static void keep(struct wsock *w, const uint8_t *data, size_t len)
{
    if (len == 0 || w->state != WSOCK_OPEN)
        return;
    buf_add(&w->held, data, len);
    if (w->held.failed)
        fail(w, 1011, "out of memory");
}

static void on_received(void *owner, uint8_t *data, size_t len)
{
    struct wsock *w = owner;
    size_t used = 0;

    if (w->state == WSOCK_CLOSED)
        return;
    if (w->held.len == 0)
        used = deliver(w, data, len);
    keep(w, data + used, len - used);
    if (w->state == WSOCK_OPEN)
        set_reading(w);
}

static void resume(struct deferred *work)
{
    struct wsock *w = (struct wsock *)((char *)work - offsetof(struct wsock, resume));
    size_t used;

    if (w->state != WSOCK_OPEN || w->stopped)
        return;
    used = deliver(w, (uint8_t *)w->held.data, w->held.len);
    if (w->state != WSOCK_OPEN) {
        buf_done(&w->held);
        return;
    }
    buf_drop(&w->held, used);
    if (w->held.len == 0)
        buf_done(&w->held);
    set_reading(w);
}

static void on_drained(void *owner)
{
    struct wsock *w = owner;

    if (w->state == WSOCK_OPEN && w->transport.callbacks && w->transport.callbacks->drained)
        w->transport.callbacks->drained(w->transport.owner);
}

static void on_closed(void *owner, const char *why)
{
    struct wsock *w = owner;
    const struct transport_callbacks *callbacks = w->transport.callbacks;
    void *above = w->transport.owner;

    wsock_free(w);
    if (callbacks)
        callbacks->lost(above, 0, why);
}

static const struct conn_callbacks conn_events = {
    .received = on_received,
    .drained = on_drained,
    .closed = on_closed,
};

struct wsock *wsock_new(struct conn *c, enum ws_role role, size_t max_message,
                        const struct transport_callbacks *callbacks, void *owner,
                        const uint8_t *rest, size_t rest_len)
{
    struct wsock *w = calloc(1, sizeof *w);

    if (!w)
        return NULL;
    if (rest_len)
        buf_add(&w->held, rest, rest_len);
    if (w->held.failed) {
        buf_done(&w->held);
        free(w);
        return NULL;
    }
    w->conn = c;
    w->role = role;
    w->transport = (struct transport){&wsock_kind, callbacks, owner};
    w->resume.run = resume;
    w->release.run = release;
    ws_decoder_init(&w->decoder, role, max_message);
    w->stopped = TRANSPORT_HELD;
    conn_set_owner(c, &conn_events, w);
    return w;
}

void wsock_adopt(struct wsock *w, const struct transport_callbacks *callbacks, void *owner)
{
    transport_adopt(&w->transport, callbacks, owner);
}

void wsock_start(struct wsock *w)
{
    wsock_go(w, TRANSPORT_HELD);
}

void wsock_send(struct wsock *w, const char *data, size_t len)
{
    uint8_t mask[4];

    if (w->state == WSOCK_OPEN)
        ws_encode(conn_output(w->conn), WS_OP_TEXT, data, len, mask_for(w, mask));
}

bool wsock_is_full(const struct wsock *w)
{
    return conn_is_full(w->conn);
}

void wsock_stop(struct wsock *w, enum transport_stop why)
{
    w->stopped |= why;
    if (!w->is_delivering && w->state == WSOCK_OPEN)
        set_reading(w);
}

void wsock_go(struct wsock *w, enum transport_stop why)
{
    w->stopped &= ~(unsigned)why;
    if (!w->stopped && w->state == WSOCK_OPEN)
        loop_defer(conn_loop(w->conn), &w->resume);
}

/* The peer's close frame may stand behind what is held, so that is decoded still; deliver() itself
 * may be at it, and then goes on. */
static void drop_held(struct wsock *w)
{
    if (w->is_delivering)
        return;
    deliver(w, (uint8_t *)w->held.data, w->held.len);
    buf_done(&w->held);
}

/* The conn's deadline for a peer that never answers the close frame. */
void wsock_close(struct wsock *w, uint16_t code, const char *reason, size_t len)
{
    if (w->state != WSOCK_OPEN)
        return;
    w->transport.callbacks = NULL;
    if (code == 0) {
        finish(w, conn_close);
        return;
    }
    send_close(w, code, reason, len);
    w->state = WSOCK_CLOSING;
    drop_held(w);
    conn_resume(w->conn);
    conn_expire(w->conn, CLOSE_LIMIT_MS);
}

struct conn *wsock_conn(const struct wsock *w)
{
    return w->conn;
}

struct transport *wsock_transport(struct wsock *w)
{
    return &w->transport;
}

/* The transport is the wsock's first member. */
static struct wsock *wsock_of(struct transport *t)
{
    return (struct wsock *)t;
}

static void kind_start(struct transport *t)
{
    wsock_start(wsock_of(t));
}

static void kind_send(struct transport *t, const char *data, size_t len)
{
    wsock_send(wsock_of(t), data, len);
}

static bool kind_is_full(const struct transport *t)
{
    return wsock_is_full((const struct wsock *)t);
}

static void kind_stop(struct transport *t, enum transport_stop why)
{
    wsock_stop(wsock_of(t), why);
}

static void kind_go(struct transport *t, enum transport_stop why)
{
    wsock_go(wsock_of(t), why);
}

static void kind_close(struct transport *t, uint16_t code, const char *reason, size_t len)
{
    wsock_close(wsock_of(t), code, reason, len);
}

static int64_t kind_last_activity(const struct transport *t)
{
    return conn_last_activity(((const struct wsock *)t)->conn);
}

static const struct transport_kind wsock_kind = {
    .name = "WebSocket",
    .start = kind_start,
    .send = kind_send,
    .is_full = kind_is_full,
    .stop = kind_stop,
    .go = kind_go,
    .close = kind_close,
    .last_activity = kind_last_activity,
};
