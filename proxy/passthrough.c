/*
 * One request, one response, and the connection ends: Prosody is asked to close after it, so the
 * end of its bytes is the end of the response.
 *
 * What a newcomer gets wrong: a byte too many sent to Prosody is the beginning of another request,
 * one that nobody here has looked at. What goes there is the head that was made here and exactly as
 * many bytes as that says.
 */
#include "proxy/passthrough.h"

#include <stdlib.h>

#define CONNECT_LIMIT_MS 900
#define IDLE_LIMIT_MS 10000
/* From the head to the last byte of the content: nginx has it whole before it begins. */
#define CONTENT_LIMIT_MS 30000
/* Prosody lets a BOSH client wait for two minutes at most (mod_bosh's bosh_max_wait). */
#define POLL_LIMIT_MS 130000

struct passthrough {
    struct proxy *proxy;
    struct conn *client, *server; /* NULL once gone */
    struct buf request;           /* until Prosody is connected */
    uint64_t content_left;        /* still to come from the client */
    int64_t content_deadline, answer_limit_ms;
    struct in6_addr key;
    bool is_connected, has_answer; /* Prosody's side */
    bool has_more;                 /* the client wrote on behind its request: nobody reads that */
    bool expects_continue;
    bool is_endpoint; /* the WebSocket's path: silence there is a Prosody that does not work */
    struct deferred release;
};

static void release(struct deferred *work)
{
    struct passthrough *t =
        (struct passthrough *)((char *)work - offsetof(struct passthrough, release));

    if (t->client && (t->content_left || t->has_more))
        conn_close_lingering(t->client);
    else if (t->client)
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

static void refuse(struct passthrough *t, int status, const char *why)
{
    handshake_refuse(conn_output(t->client), status, why);
    finish(t);
}

/* Once a response has begun, what it does not wait for is read and dropped. */
static void take_content(struct passthrough *t, const uint8_t *data, size_t len)
{
    size_t own = len < t->content_left ? len : (size_t)t->content_left;

    t->has_more = t->has_more || own < len;
    t->content_left -= own;
    if (!t->has_answer)
        buf_add(t->is_connected ? conn_output(t->server) : &t->request, data, own);
}

static void server_opened(void *owner)
{
    struct passthrough *t = owner;

    t->is_connected = true;
    if (t->request.failed) {
        if (t->client)
            refuse(t, 503, "Out of memory.");
        return;
    }
    buf_add(conn_output(t->server), t->request.data, t->request.len);
    buf_done(&t->request);
    conn_expire(t->server, t->content_left ? t->content_deadline - loop_now(t->proxy->loop)
                                           : t->answer_limit_ms);
    if (!t->client || !t->content_left)
        return;
    if (t->expects_continue)
        buf_add_str(conn_output(t->client), "HTTP/1.1 100 Continue\r\n\r\n");
    conn_resume(t->client);
}

static void server_received(void *owner, uint8_t *data, size_t len)
{
    struct passthrough *t = owner;

    if (!t->client)
        return;
    if (!t->has_answer)
        proxy_upstream_up(t->proxy);
    t->has_answer = true;
    conn_resume(t->client); /* what it still writes is dropped */
    buf_add(conn_output(t->client), data, len);
    conn_expire(t->server, IDLE_LIMIT_MS);
    if (conn_is_full(t->client))
        conn_pause(t->server);
}

static void server_drained(void *owner)
{
    struct passthrough *t = owner;

    if (t->client)
        conn_resume(t->client);
}

static void server_closed(void *owner, const char *why)
{
    struct passthrough *t = owner;

    t->server = NULL;
    if (t->has_answer || !t->client) {
        finish(t);
        return;
    }
    if (t->is_connected && t->content_left && loop_now(t->proxy->loop) >= t->content_deadline) {
        refuse(t, 408, "The body did not come in time.");
        return;
    }
    if (!t->is_connected || t->is_endpoint)
        proxy_upstream_down(t->proxy, why);
    refuse(t, t->is_connected ? 504 : 502,
           t->is_connected ? "The XMPP server does not answer."
                           : "The XMPP server cannot be reached.");
}

static void client_received(void *owner, uint8_t *data, size_t len)
{
    struct passthrough *t = owner;
    bool is_awaited = t->content_left > 0;

    if (!t->server)
        return;
    take_content(t, data, len);
    if (!is_awaited || t->has_answer)
        return;
    if (!t->is_connected || conn_is_full(t->server))
        conn_pause(t->client);
    if (t->is_connected && !t->content_left)
        conn_expire(t->server, t->answer_limit_ms);
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

static const struct conn_callbacks server_events = {.opened = server_opened,
                                                    .received = server_received,
                                                    .drained = server_drained,
                                                    .closed = server_closed};
static const struct conn_callbacks client_events = {
    .received = client_received, .drained = client_drained, .closed = client_closed};

/* The head that Prosody gets. */
static void add_head(struct passthrough *t, const struct passthrough_request *request)
{
    const struct http_head *head = request->head;
    char method[8];
    struct handshake_request onward = {.method = method,
                                       .path = request->path,
                                       .query = head->query,
                                       .host = t->proxy->upstream.host,
                                       .forwarded_for = request->identity->forwarded_for,
                                       .client_is_trusted = request->identity->is_trusted,
                                       .client = head,
                                       .has_content = http_header(head, "content-length") != NULL,
                                       .content_len = request->content_len};

    snprintf(method, sizeof method, "%.*s", (int)head->method.len, head->method.at);
    handshake_request(&t->request, &onward);
}

static void start(struct passthrough *t, const struct passthrough_request *request)
{
    struct proxy *proxy = t->proxy;

    add_head(t, request);
    take_content(t, request->rest, request->rest_len);
    t->server = t->request.failed ? NULL
                                  : conn_connect(proxy->loop, &proxy->upstream.conn,
                                                 CONNECT_LIMIT_MS, &server_events, t);
    if (!t->server)
        refuse(t, 503, "Out of memory.");
    else if (t->content_left)
        conn_pause(t->client);
}

void passthrough_new(struct proxy *proxy, struct conn *conn,
                     const struct passthrough_request *request)
{
    struct passthrough *t = calloc(1, sizeof *t);

    if (!t) {
        peers_remove(proxy->peers, &request->identity->key);
        handshake_refuse(conn_output(conn), 503, "Out of memory.");
        conn_close_lingering(conn);
        return;
    }
    t->proxy = proxy;
    t->client = conn;
    t->key = request->identity->key;
    t->content_left = request->content_len;
    t->content_deadline = loop_now(proxy->loop) + CONTENT_LIMIT_MS;
    t->answer_limit_ms = request->is_poll ? POLL_LIMIT_MS : IDLE_LIMIT_MS;
    t->expects_continue = request->head->minor_version > 0 &&
                          http_header_has_token(request->head, "expect", "100-continue");
    t->is_endpoint = request->path == proxy->upstream.path;
    t->release.run = release;
    proxy->passthroughs++;
    conn_set_owner(conn, &client_events, t);
    conn_expire(conn, CONN_NEVER); /* of the door; Prosody's side has its own */
    start(t, request);
}
