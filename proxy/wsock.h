/*
 * A WebSocket on a conn, once the HTTP upgrade is done: whole text messages in and out, pings
 * answered, closing with its handshake (RFC 6455).
 *
 * Reading can be stopped for two independent reasons (a held join, a full destination); what was
 * read already waits, in order and bounded, and is delivered when the last reason is gone.
 */
#pragma once

#include "proxy/conn.h"
#include "xmpp/websocket.h"

struct wsock_callbacks {
    /* A text message, borrowed during the call. */
    void (*message)(void *owner, const char *data, size_t len);
    /* The peer closes: its code (1005 when it gave none) and reason. It is the last callback; the
     * close frame is answered by the wsock itself. */
    void (*closed)(void *owner, uint16_t code, const char *reason, size_t len);
    /* The peer broke the protocol and is about to be told so with a close frame: what is sent now still
     * goes before it, and `lost` follows. May be NULL. */
    void (*breaking)(void *owner, uint16_t code);
    /* The peer broke the protocol (code says how, it was told) or, with code 0, the connection is
     * gone without a close frame. The last callback. */
    void (*lost)(void *owner, uint16_t code, const char *why);
    /* Output fell below the low mark. */
    void (*drained)(void *owner);
};

enum wsock_stop {
    WSOCK_HELD = 1, /* what the owner decides */
    WSOCK_FULL = 2, /* the destination's output is over the high mark */
};

struct wsock;

/* Takes the conn over. rest: bytes that came behind the HTTP head. NULL when out of memory, and the
 * conn is then still the caller's. */
struct wsock *wsock_new(struct conn *c, enum ws_role role, size_t max_message,
                        const struct wsock_callbacks *callbacks, void *owner, const uint8_t *rest,
                        size_t rest_len);
void wsock_adopt(struct wsock *w, const struct wsock_callbacks *callbacks, void *owner);
/* Begins to deliver; call once the owner is ready for callbacks. */
void wsock_start(struct wsock *w);

/* Queues a text message. Full or not it is taken: the caller looks at wsock_is_full and stops its
 * source. */
void wsock_send(struct wsock *w, const char *data, size_t len);
bool wsock_is_full(const struct wsock *w);
/* wsock_go delivers at the end of the turn, never under the caller. */
void wsock_stop(struct wsock *w, enum wsock_stop why);
void wsock_go(struct wsock *w, enum wsock_stop why);

/* Lets go of it: sends a close frame with code (0: none, the connection just ends as a broken one
 * would) and closes when the peer answers, or after 2 s. No callback comes any more. */
void wsock_close(struct wsock *w, uint16_t code, const char *reason, size_t len);

struct conn *wsock_conn(const struct wsock *w);
