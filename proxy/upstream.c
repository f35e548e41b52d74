/*
 * The way to an open WebSocket to Prosody.
 */
#include "proxy/upstream.h"

#include "proxy/loop.h"

#include <stdlib.h>
#include <string.h>

/* Prosody is near: refused is told at once, and silence is told within a second. */
#define CONNECT_LIMIT_MS 900
#define UPGRADE_LIMIT_MS 5000

struct upstream {
    const struct upstream_target *target;
    struct conn *conn;
    struct buf request, response;
    bool is_connected;
    char key[HANDSHAKE_KEY_LEN + 1];
    const struct upstream_callbacks *callbacks;
    void *owner;
};

static void upstream_free(struct upstream *u)
{
    buf_done(&u->request);
    buf_done(&u->response);
    free(u);
}

static void fail(struct upstream *u, int status, const char *why)
{
    const struct upstream_callbacks *callbacks = u->callbacks;
    void *owner = u->owner;

    if (u->conn)
        conn_abort(u->conn);
    upstream_free(u);
    callbacks->failed(owner, status, why);
}

static void on_opened(void *owner)
{
    struct upstream *u = owner;

    u->is_connected = true;
    buf_add(conn_output(u->conn), u->request.data, u->request.len);
    buf_done(&u->request);
    conn_expire(u->conn, UPGRADE_LIMIT_MS);
}

static void complete(struct upstream *u, const struct http_head *head, size_t head_len)
{
    const struct upstream_callbacks *callbacks = u->callbacks;
    void *owner = u->owner;
    const char *why = "";
    struct wsock *w;

    if (!handshake_completes(head, u->key, &why)) {
        fail(u, head->status, why);
        return;
    }
    w = wsock_new(u->conn, WS_CLIENT, u->target->max_message, NULL, NULL,
                  (const uint8_t *)u->response.data + head_len, u->response.len - head_len);
    if (!w) {
        fail(u, 0, "out of memory");
        return;
    }
    conn_expire(u->conn, CONN_NEVER);
    upstream_free(u);
    callbacks->opened(owner, w);
}

static void on_received(void *owner, uint8_t *data, size_t len)
{
    struct upstream *u = owner;
    struct http_head head;
    size_t head_len = 0;

    buf_add(&u->response, data, len);
    if (u->response.failed) {
        fail(u, 0, "out of memory");
        return;
    }
    switch (http_parse_response(u->response.data, u->response.len, &head, &head_len)) {
    case HTTP_OK:
        complete(u, &head, head_len);
        break;
    case HTTP_MORE:
        break;
    case HTTP_BAD:
    case HTTP_TOO_LARGE:
        fail(u, 0, "what answers at the upstream address is not HTTP");
        break;
    }
}

static void on_closed(void *owner, const char *why)
{
    struct upstream *u = owner;

    u->conn = NULL;
    fail(u, u->is_connected ? 502 : 0, why);
}

static const struct conn_callbacks conn_events = {
    .opened = on_opened,
    .received = on_received,
    .closed = on_closed,
};

struct upstream *upstream_open(struct loop *loop, const struct upstream_target *target,
                               const struct handshake_request *request,
                               const struct upstream_callbacks *callbacks, void *owner)
{
    struct upstream *u = calloc(1, sizeof *u);
    struct handshake_request full = *request;
    uint8_t random[16];

    if (!u)
        return NULL;
    u->target = target;
    u->callbacks = callbacks;
    u->owner = owner;
    loop_random(loop, random, sizeof random);
    handshake_make_key(random, u->key);
    full.method = "GET";
    full.path = target->path;
    full.host = target->host;
    full.upgrade = true;
    memcpy(full.key, u->key, sizeof full.key);
    handshake_request(&u->request, &full);
    u->conn = u->request.failed
                  ? NULL
                  : conn_connect(loop, &target->conn, CONNECT_LIMIT_MS, &conn_events, u);
    if (!u->conn) {
        upstream_free(u);
        return NULL;
    }
    return u;
}

void upstream_cancel(struct upstream *u)
{
    if (!u)
        return;
    conn_abort(u->conn);
    upstream_free(u);
}
