/*
 * One request, one response, and the connection ends: Prosody is asked to close after it, so the
 * end of its bytes is the end of the response.
 */
#include "proxy/passthrough.h"

#include <stdlib.h>

#define CONNECT_LIMIT_MS 900
#define IDLE_LIMIT_MS 10000

struct passthrough {
    struct proxy *proxy;
    struct conn *client, *server; /* NULL once gone */
    struct buf request;
    struct in6_addr key;
    bool is_connected, has_answer; /* Prosody's side */
    struct deferred release;
};

static void release(struct deferred *work)
{
    struct passthrough *t =
        (struct passthrough *)((char *)work - offsetof(struct passthrough, release));

    if (t->client)
        conn_close(t->client);
    if (t->server)
        conn_abort(t->server);
    peers_remove(t->proxy->peers, &t->key);
    t->proxy->passthroughs--;
    buf_done(&t->request);
    free(t);
}

static void finish(struct passthrough *t)
{
    loop_defer(t->proxy->loop, &t->release);
}

static void server_opened(void *owner)
{
    struct passthrough *t = owner;

    t->is_connected = true;
    buf_add(conn_output(t->server), t->request.data, t->request.len);
    conn_expire(t->server, IDLE_LIMIT_MS);
}

static void server_received(void *owner, uint8_t *data, size_t len)
{
    struct passthrough *t = owner;

    if (!t->client)
        return;
    if (!t->has_answer)
        proxy_upstream_up(t->proxy);
    t->has_answer = true;
    buf_add(conn_output(t->client), data, len);
    conn_expire(t->server, IDLE_LIMIT_MS);
    if (conn_is_full(t->client))
        conn_pause(t->server);
}

static void server_closed(void *owner, const char *why)
{
    struct passthrough *t = owner;

    t->server = NULL;
    if (!t->has_answer && t->client) {
        handshake_refuse(conn_output(t->client), t->is_connected ? 504 : 502,
                         t->is_connected ? "The XMPP server does not answer."
                                         : "The XMPP server cannot be reached.");
        proxy_upstream_down(t->proxy, why);
    }
    finish(t);
}

static void client_received(void *owner, uint8_t *data, size_t len)
{
    /* Nothing may follow a request whose connection ends with its response. */
}

static void client_drained(void *owner)
{
    struct passthrough *t = owner;

    if (t->server)
        conn_resume(t->server);
}

static void client_closed(void *owner, const char *why)
{
    struct passthrough *t = owner;

    t->client = NULL;
    finish(t);
}

static const struct conn_callbacks server_events = {
    .opened = server_opened, .received = server_received, .closed = server_closed};
static const struct conn_callbacks client_events = {
    .received = client_received, .drained = client_drained, .closed = client_closed};

void passthrough_new(struct proxy *proxy, struct conn *conn, const struct http_head *request,
                     const struct peer_identity *identity)
{
    struct passthrough *t = calloc(1, sizeof *t);
    char method[8];
    struct handshake_request onward = {.method = method,
                                       .path = proxy->upstream.path,
                                       .query = request->query,
                                       .host = proxy->upstream.host,
                                       .forwarded_for = identity->forwarded_for,
                                       .client_is_trusted = identity->is_trusted,
                                       .client = request};

    if (!t) {
        peers_remove(proxy->peers, &identity->key);
        handshake_refuse(conn_output(conn), 503, "Out of memory.");
        conn_close(conn);
        return;
    }
    snprintf(method, sizeof method, "%.*s", (int)request->method.len, request->method.at);
    t->proxy = proxy;
    t->client = conn;
    t->key = identity->key;
    t->release.run = release;
    proxy->passthroughs++;
    conn_set_owner(conn, &client_events, t);
    conn_expire(conn, CONN_NEVER); /* of the door; Prosody's side has its own */
    handshake_request(&t->request, &onward);
    t->server = t->request.failed ? NULL
                                  : conn_connect(proxy->loop, &proxy->upstream.conn,
                                                 CONNECT_LIMIT_MS, &server_events, t);
    if (!t->server) {
        handshake_refuse(conn_output(conn), 503, "Out of memory.");
        finish(t);
    }
}
