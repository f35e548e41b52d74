/*
 * A WebSocket on a conn, once the HTTP upgrade is done: whole text messages in and out, pings
 * answered, closing with its handshake (RFC 6455).
 *
 * Reading can be stopped for two independent reasons (a held join, a full destination); what was
 * read already waits, in order and bounded, and is delivered when the last reason is gone.
 */
#pragma once

#include "proxy/conn.h"
#include "proxy/transport.h"
#include "xmpp/websocket.h"

struct wsock;

/* Takes the conn over. rest: bytes that came behind the HTTP head. NULL when out of memory, and the
 * conn is then still the caller's. */
struct wsock *wsock_new(struct conn *c, enum ws_role role, size_t max_message,
                        const struct transport_callbacks *callbacks, void *owner, const uint8_t *rest,
                        size_t rest_len);
void wsock_adopt(struct wsock *w, const struct transport_callbacks *callbacks, void *owner);
/* Begins to deliver; call once the owner is ready for callbacks. */
void wsock_start(struct wsock *w);

/* As transport.h says of each. */
void wsock_send(struct wsock *w, const char *data, size_t len);
bool wsock_is_full(const struct wsock *w);
void wsock_stop(struct wsock *w, enum transport_stop why);
void wsock_go(struct wsock *w, enum transport_stop why);

/* Lets go of it: sends a close frame with code (0: none, the connection just ends as a broken one
 * would) and closes when the peer answers, or after 2 s. No callback comes any more. */
void wsock_close(struct wsock *w, uint16_t code, const char *reason, size_t len);

struct conn *wsock_conn(const struct wsock *w);
/* As a client's side of a stream; the same object. */
struct transport *wsock_transport(struct wsock *w);
