/*
 * A plain request on the WebSocket path (lib-jitsi-meet's keep-alive, a browser's preflight), answered
 * by Prosody through the proxy: its response goes on byte for byte (wire fact 26).
 */
#pragma once

#include "proxy/peers.h"
#include "proxy/proxy.h"

/* Takes the conn, counted in proxy->peers. */
void passthrough_new(struct proxy *proxy, struct conn *conn, const struct http_head *request,
                     const struct peer_identity *identity);
