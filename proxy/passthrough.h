/*
 * A plain request that Prosody answers through the proxy: on the WebSocket path (lib-jitsi-meet's
 * keep-alive, a browser's preflight; wire fact 26), on those of http.forward, and BOSH that is not
 * looked at. Its response goes on byte for byte.
 */
#pragma once

#include "proxy/peers.h"
#include "proxy/proxy.h"

struct passthrough_request {
    const struct http_head *head;
    const char *path; /* what Prosody is asked for; the query is the client's */
    const struct peer_identity *identity;
    uint64_t content_len; /* what belongs to it behind the head */
    const uint8_t *rest;  /* what came behind the head already */
    size_t rest_len;
    bool is_poll; /* an answer may take as long as a BOSH client waits (XEP-0124 section 7.1) */
};

/* Takes the conn, counted in proxy->peers. The request is borrowed during the call, but for its path. */
void passthrough_new(struct proxy *proxy, struct conn *conn,
                     const struct passthrough_request *request);
