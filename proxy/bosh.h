/*
 * BOSH sessions (XEP-0124, XEP-0206) as the client's side of streams: POSTs in, a transport out. The
 * protocol itself is xmpp/bosh_session.h; here are the connections, the sids and the turns of the loop.
 *
 * Prosody's own BOSH is not used: towards Prosody each session is a WebSocket, so that whatever is
 * decided for those is decided for these.
 */
#pragma once

#include "proxy/peers.h"
#include "proxy/proxy.h"
#include "proxy/transport.h"

#define BOSH_PATH "/http-bind"

struct bosh;

struct bosh *bosh_new(struct proxy *proxy); /* NULL when out of memory */
void bosh_free(struct bosh *bosh);          /* accepts NULL; its streams and conns are gone by then */

/* A request on BOSH_PATH whose head is read: takes the conn (not counted in proxy->peers: what is counted
 * is the session), reads the entity, answers, and gives a connection that lasts back to the listener.
 * request and identity are borrowed during the call; rest is what came behind the head. */
void bosh_take(struct bosh *bosh, struct conn *conn, const struct http_head *request,
               const struct peer_identity *identity, const uint8_t *rest, size_t rest_len);

/* The process stops: no new sessions, and requests that are not whole yet are dropped. */
void bosh_stop(struct bosh *bosh);
/* Once a second. */
void bosh_tick(struct bosh *bosh, int64_t now);
