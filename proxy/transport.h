/*
 * The client's side of a stream: a WebSocket (wsock.h) or a BOSH session (bosh.h). Both carry whole
 * messages as RFC 7395 frames them, can be stopped for two independent reasons, and end with the same
 * callbacks; a stream does not know which it has.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct transport_callbacks {
    /* A message, borrowed during the call. */
    void (*message)(void *owner, const char *data, size_t len);
    /* The peer closes: its code (1005 when it gave none) and reason. The last callback; the closing
     * is answered by the transport itself. */
    void (*closed)(void *owner, uint16_t code, const char *reason, size_t len);
    /* The peer broke the protocol and is about to be told so: what is sent now still goes before it,
     * and `lost` follows. May be NULL. */
    void (*breaking)(void *owner, uint16_t code);
    /* The peer broke the protocol (code says how, it was told) or, with code 0, it is gone without a
     * word. The last callback. */
    void (*lost)(void *owner, uint16_t code, const char *why);
    /* Output fell below the low mark. */
    void (*drained)(void *owner);
};

enum transport_stop {
    TRANSPORT_HELD = 1, /* what the owner decides */
    TRANSPORT_FULL = 2, /* the destination's output is over the high mark */
};

struct transport;

struct transport_kind {
    const char *name;
    void (*start)(struct transport *t);
    void (*send)(struct transport *t, const char *data, size_t len);
    bool (*is_full)(const struct transport *t);
    void (*stop)(struct transport *t, enum transport_stop why);
    void (*go)(struct transport *t, enum transport_stop why);
    void (*close)(struct transport *t, uint16_t code, const char *reason, size_t len);
    int64_t (*last_activity)(const struct transport *t);
};

/* The first member of what implements it. */
struct transport {
    const struct transport_kind *kind;
    const struct transport_callbacks *callbacks;
    void *owner;
};

static inline void transport_adopt(struct transport *t, const struct transport_callbacks *callbacks,
                                   void *owner)
{
    t->callbacks = callbacks;
    t->owner = owner;
}

/* Begins to deliver; call once the owner is ready for callbacks. */
static inline void transport_start(struct transport *t)
{
    t->kind->start(t);
}

/* Queues a message. Full or not it is taken: the caller looks at transport_is_full and stops its
 * source. */
static inline void transport_send(struct transport *t, const char *data, size_t len)
{
    t->kind->send(t, data, len);
}

static inline bool transport_is_full(const struct transport *t)
{
    return t->kind->is_full(t);
}

/* transport_go delivers at the end of the turn, never under the caller. */
static inline void transport_stop(struct transport *t, enum transport_stop why)
{
    t->kind->stop(t, why);
}

static inline void transport_go(struct transport *t, enum transport_stop why)
{
    t->kind->go(t, why);
}

/* Lets go of it, told with the WebSocket code and reason (0: it just ends, as a broken one would). No
 * callback comes any more. */
static inline void transport_close(struct transport *t, uint16_t code, const char *reason,
                                   size_t len)
{
    t->kind->close(t, code, reason, len);
}

static inline int64_t transport_last_activity(const struct transport *t)
{
    return t->kind->last_activity(t);
}
